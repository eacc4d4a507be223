/* The tables of plan.c: which buffers there are and which kernels run over them. */
#ifndef SUTURE_PLAN_H
#define SUTURE_PLAN_H

#include "tvm_abi.h"

enum Space { INPUT, OUTPUT, ARENA, WEIGHTS };

/* Where the tensor of the same position lives: a caller's buffer by number, or a byte
 * offset into the arena or the weights. */
struct Place {
  enum Space space;
  uint64_t at;
};

struct Call {
  Kernel *kernel;
  const TVMFFIAny *args;
  int32_t num_args;
};

/* An output that no kernel writes where the caller wants it. */
struct Copy {
  uint32_t output;
  uint32_t tensor;
  uint64_t bytes;
};

extern DLTensor plan_tensors[];
extern const struct Place plan_places[];
extern const uint32_t plan_num_tensors;
extern const struct Call plan_calls[];
extern const uint32_t plan_num_calls;
extern const struct Copy plan_copies[];
extern const uint32_t plan_num_copies;
extern const uint64_t plan_input_bytes[];
extern const uint32_t plan_num_inputs;
extern const uint64_t plan_output_bytes[];
extern const uint32_t plan_num_outputs;
extern const uint64_t plan_arena_bytes;

#endif

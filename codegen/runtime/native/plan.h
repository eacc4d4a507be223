/* The tables of plan.c: which buffers there are and which kernels run over them. */
#ifndef SUTURE_PLAN_H
#define SUTURE_PLAN_H

#include "cpu.h"
#include "tvm_abi.h"

enum Space { INPUT, OUTPUT, ARENA, WEIGHTS };

/* Where the tensor of the same position lives; buffer is the number of a caller's buffer. */
struct Place {
  enum Space space;
  uint32_t buffer;
  uint64_t offset;
};

/* The kernels, compiled for processors of one kind; the better ones come first. */
struct KernelSet {
  const char *processor;
  enum CpuLevel needs;
  Kernel *const *kernels;
};

/* One run of a kernel, named by its position in every set. */
struct Call {
  uint32_t kernel;
  const TVMFFIAny *args;
  int32_t num_args;
};

/* A kernel: copies its first tensor's bytes to its second. */
Kernel copy_tensor;

extern const struct KernelSet plan_sets[];
extern const uint32_t plan_num_sets;
extern DLTensor plan_tensors[];
extern const struct Place plan_places[];
extern const uint32_t plan_num_tensors;
extern const struct Call plan_calls[];
extern const uint32_t plan_num_calls;
extern const uint64_t plan_input_bytes[];
extern const uint32_t plan_num_inputs;
extern const uint64_t plan_output_bytes[];
extern const uint32_t plan_num_outputs;
extern const uint64_t plan_arena_bytes;
extern const int plan_threads;

#endif

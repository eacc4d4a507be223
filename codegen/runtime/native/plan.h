/* The tables of a program: which buffers there are and which kernels run over them. */
#pragma once

#include "cpu.h"
#include "tvm_abi.h"

enum Space { INPUT, OUTPUT, ARENA, WEIGHTS };

/* What a tensor is and where it lives; buffer is the number of a caller's buffer. */
struct Place {
  uint8_t space; /* an enum Space */
  uint8_t code, bits, rank;
  uint32_t buffer;
  const int64_t *shape;
  uint64_t offset;
};

/* The kernels, compiled for processors of one kind; the better ones come first. */
struct KernelSet {
  const char *processor;
  enum CpuLevel needs;
  Kernel *const *kernels;
};

/* One run of a kernel, named by its position in every set, over tensors by their numbers; it may
 * leave out calls after it. While it runs it may use bytes of the arena from `workspace` on. */
struct Call {
  uint32_t kernel;
  const uint32_t *args;
  int32_t num_args;
  uint32_t skip;
  uint64_t workspace, workspace_bytes;
};

/* A kernel: copies its first tensor's bytes to its second. */
Kernel copy_tensor;
/* Kernels: leave calls out where their tensor, a truth value, is false, and where it is true. */
Kernel skip_unless, skip_if;

/* One program. Its tensors are filled in before each run, as their places say. */
struct Plan {
  DLTensor *tensors;
  const struct Place *places;
  uint32_t num_tensors;
  const struct Call *calls;
  uint32_t num_calls;
  const uint64_t *input_bytes;
  uint32_t num_inputs;
  const uint64_t *output_bytes;
  uint32_t num_outputs;
  uint64_t arena_bytes;
  int threads;
};

extern const struct Plan *const plans[];
extern const uint32_t num_plans;
extern const struct KernelSet plan_sets[];
extern const uint32_t plan_num_sets;
extern const char weights_start[];

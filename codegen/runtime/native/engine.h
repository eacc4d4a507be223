/* What computes: the plan of rt.c (aot.c), or ONNX Runtime (ort.c). One thread at a time. */
#pragma once

#include "served.h"

struct Tensor {
  int rank;
  int64_t shape[MOST_RANK];
  void *data; /* packed, row-major, little-endian */
  size_t bytes;
};

enum Outcome { DONE, FAILED, NO_PROGRAM /* none is compiled for these shapes */ };

/* Zero, or non-zero with engine_error set. */
int engine_start(void);
/* An aligned place for the bytes of an input, the same for every request; NULL where memory
 * is short. What is written there is what engine_run reads where a tensor points at it. */
void *engine_input(int input, size_t bytes);
/* Runs over tensors in the order of served.inputs; fills in those of served.outputs, whose
 * data stays until the next run. */
enum Outcome engine_run(const struct Tensor *inputs, struct Tensor *outputs);
/* The last error's text, empty where there was none. */
const char *engine_error(void);

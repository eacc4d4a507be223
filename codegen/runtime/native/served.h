/* What a package serves: written down by the compiler as served.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { MOST_RANK = 16, MOST_PORTS = 64 };

/* The Open Inference Protocol's element types. */
enum Datatype { BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FP16, FP32, FP64 };

/* An input or output; a size of -1 is chosen by the request. */
struct Port {
  const char *name;
  enum Datatype datatype;
  int rank;
  const int64_t *shape;
};

/* The shapes of one program, a list for each input and output in order. */
struct Sizes {
  const int64_t *const *inputs;
  const int64_t *const *outputs;
};

struct Served {
  const char *name, *version, *backend;
  const char *plan, *plan_digest; /* of a task's plan, or the name and version again */
  const struct Port *inputs, *outputs;
  int num_inputs, num_outputs;
  const struct Sizes *programs; /* none where every request chooses its sizes */
  int num_programs;
  int image_input;    /* which input takes decoded images; -1 where none does */
  int image_channels; /* 1 gray, 3 RGB */
  int threads;        /* that ONNX Runtime may use; a plan knows its own */
};

extern const struct Served served;

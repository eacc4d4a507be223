/* The engine over a plan: the program whose shapes a request has, and buffers for tensors. */
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "model.h"

enum { ALIGNMENT = 64 };

/* Memory that grows to the largest tensor that was in it. */
struct Place {
  void *start;
  size_t bytes;
};

static struct Place inputs[MOST_PORTS], outputs[MOST_PORTS];
static const char *error = "";

int engine_start(void) {
  cpu_set_t processors;
  if (model_init()) return 1;
  if (!sched_getaffinity(0, sizeof processors, &processors))
    model_set_threads(CPU_COUNT(&processors));
  return 0;
}

static void *provide(struct Place *place, size_t bytes) {
  if (place->start && place->bytes >= bytes) return place->start;
  free(place->start);
  *place = (struct Place){NULL, 0};
  if (posix_memalign(&place->start, ALIGNMENT, bytes ? bytes : 1)) return place->start = NULL;
  place->bytes = bytes;
  return place->start;
}

void *engine_input(int input, size_t bytes) { return provide(&inputs[input], bytes); }

static int equal(const int64_t *const *shapes, const struct Tensor *tensors) {
  for (int i = 0; i < served.num_inputs; ++i)
    if (memcmp(shapes[i], tensors[i].shape, (size_t)tensors[i].rank * sizeof(int64_t))) return 0;
  return 1;
}

/* The number of the program for some shapes, -1 where there is none. A model of one program may
 * leave its shapes to the ports. */
static int find_program(const struct Tensor *tensors) {
  for (int i = 0; i < served.num_programs; ++i)
    if (equal(served.programs[i].inputs, tensors)) return i;
  return served.num_programs ? -1 : 0;
}

/* Gives an output its shape and its memory. */
static int prepare(int output, int program, struct Tensor *tensor) {
  const struct Port *port = &served.outputs[output];
  const int64_t *shape =
      served.num_programs ? served.programs[program].outputs[output] : port->shape;
  tensor->rank = port->rank;
  tensor->bytes = model_out_bytes(output);
  memcpy(tensor->shape, shape, (size_t)port->rank * sizeof *shape);
  return !!(tensor->data = provide(&outputs[output], tensor->bytes));
}

enum Outcome engine_run(const struct Tensor *tensors, struct Tensor *results) {
  void *from[MOST_PORTS], *to[MOST_PORTS];
  int program = find_program(tensors);
  error = "";
  if (program < 0) return NO_PROGRAM;
  if (model_use(program)) return FAILED;
  for (int i = 0; i < served.num_inputs; ++i) from[i] = tensors[i].data;
  for (int i = 0; i < served.num_outputs; ++i) {
    if (!prepare(i, program, &results[i])) {
      error = "no memory for an output";
      return FAILED;
    }
    to[i] = results[i].data;
  }
  return model_run(from, to) ? FAILED : DONE;
}

const char *engine_error(void) { return *error ? error : model_error(); }

/* An engine whose outputs are its inputs, in order. */
#include <stdlib.h>

#include "engine.h"

static void *places[MOST_PORTS];

int engine_start(void) { return 0; }

/* As small as is asked for, so that a sanitizer sees what is written beside it. */
void *engine_input(int input, size_t bytes) {
  free(places[input]);
  return places[input] = malloc(bytes ? bytes : 1);
}

enum Outcome engine_run(const struct Tensor *inputs, struct Tensor *outputs) {
  for (int i = 0; i < served.num_outputs; ++i) outputs[i] = inputs[i];
  return DONE;
}

const char *engine_error(void) { return ""; }

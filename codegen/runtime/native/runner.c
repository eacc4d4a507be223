/* Runs a libmodel.so in a process of its own, for machines that an emulator stands in for:
 *
 *   runner LIBRARY [PROGRAM] <inputs >outputs
 *
 * Inputs and outputs are the bytes of every tensor in the order of the model. The status is 0,
 * or 1 with a line on standard error. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { ALIGNMENT = 64, MOST_TENSORS = 1024 };

struct Program {
  int (*init)(void);
  int (*use)(int);
  int (*run)(void **, void **);
  const char *(*error)(void);
  int (*n_in)(void);
  int (*n_out)(void);
  uint64_t (*in_bytes)(int);
  uint64_t (*out_bytes)(int);
};

static int fail(const char *message) {
  fprintf(stderr, "%s\n", message);
  return 1;
}

static int find(void *library, struct Program *program) {
  const struct {
    const char *name;
    void *place;
  } wanted[] = {
      {"model_init", &program->init},         {"model_run", &program->run},
      {"model_use", &program->use},
      {"model_error", &program->error},       {"model_n_in", &program->n_in},
      {"model_n_out", &program->n_out},       {"model_in_bytes", &program->in_bytes},
      {"model_out_bytes", &program->out_bytes},
  };
  for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i)
    if (!(*(void **)wanted[i].place = dlsym(library, wanted[i].name))) return 0;
  return 1;
}

static int allocate(void **buffers, int count, uint64_t (*bytes)(int)) {
  if (count > MOST_TENSORS) return 0;
  for (int i = 0; i < count; ++i) {
    uint64_t padded = (bytes(i) / ALIGNMENT + 1) * ALIGNMENT;
    if (!(buffers[i] = aligned_alloc(ALIGNMENT, padded))) return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  static void *inputs[MOST_TENSORS], *outputs[MOST_TENSORS];
  struct Program program;
  if (argc != 2 && argc != 3) return fail("usage: runner LIBRARY [PROGRAM] <inputs >outputs");
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) return fail(dlerror());
  if (!find(library, &program)) return fail("the library is not one of suture's");
  if (program.init() || (argc == 3 && program.use(atoi(argv[2])))) return fail(program.error());
  if (!allocate(inputs, program.n_in(), program.in_bytes) ||
      !allocate(outputs, program.n_out(), program.out_bytes))
    return fail("no memory for inputs and outputs");
  for (int i = 0; i < program.n_in(); ++i)
    if (fread(inputs[i], 1, program.in_bytes(i), stdin) != program.in_bytes(i))
      return fail("the inputs are too short");
  if (getchar() != EOF) return fail("the inputs are too long");
  if (program.run(inputs, outputs)) return fail(program.error());
  for (int i = 0; i < program.n_out(); ++i)
    if (fwrite(outputs[i], 1, program.out_bytes(i), stdout) != program.out_bytes(i))
      return fail("the outputs cannot be written");
  return fflush(stdout) ? fail("the outputs cannot be written") : 0;
}

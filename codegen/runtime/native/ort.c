/* An engine of ONNX Runtime's C library, which lies with model.onnx beside the program. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "numbers.h"

enum { API_VERSION = 16, LOG_ERROR = 3, CPU_ARENA = 1, MEMORY_DEFAULT = 0, ALIGNMENT = 64 };

typedef struct Status Status;
typedef struct Value Value;
typedef struct Info Info;
typedef void Handle;

/* The part of ONNX Runtime's table of functions that is used here. The table only ever grows
 * at its end (onnxruntime_c_api.h). */
struct Api {
  void *until_2[2];
  const char *(*message)(const Status *);
  Status *(*create_env)(int level, const char *name, Handle **);
  void *until_7[3];
  Status *(*create_session)(Handle *env, const char *path, Handle *options, Handle **);
  void *until_9[1];
  Status *(*run)(Handle *session, Handle *options, const char *const *inputs, Value *const *,
                 size_t, const char *const *outputs, size_t, Value **);
  Status *(*create_options)(Handle **);
  void *until_24[13];
  Status *(*set_intra_threads)(Handle *options, int);
  Status *(*set_inter_threads)(Handle *options, int);
  void *until_49[23];
  Status *(*create_tensor)(Handle *memory, void *data, size_t bytes, const int64_t *shape,
                           size_t rank, int type, Value **);
  void *until_51[1];
  Status *(*tensor_data)(Value *, void **);
  void *until_61[9];
  Status *(*rank)(const Info *, size_t *);
  Status *(*shape)(const Info *, int64_t *, size_t);
  void *until_65[2];
  Status *(*info)(const Value *, Info **);
  void *until_69[3];
  Status *(*create_memory)(int allocator, int kind, Handle **);
  void *until_93[23];
  void (*release_status)(Status *);
  void *until_96[2];
  void (*release_value)(Value *);
  void *until_99[2];
  void (*release_info)(Info *);
};
_Static_assert(offsetof(struct Api, release_info) == 99 * sizeof(void *), "places of the table");

struct ApiBase {
  const struct Api *(*get)(uint32_t version);
};

/* ONNX's numbers of element types. */
static const int types[] = {
    [BOOL] = 9, [UINT8] = 2, [UINT16] = 4, [UINT32] = 12, [UINT64] = 13, [INT8] = 3,
    [INT16] = 5, [INT32] = 6, [INT64] = 7, [FP16] = 10, [FP32] = 1, [FP64] = 11,
};

static const struct Api *api;
static Handle *session, *memory;
static char error_text[1024];
static struct {
  void *data;
  size_t bytes;
} places[MOST_PORTS];
static Value *given[MOST_PORTS], *made[MOST_PORTS];

const char *engine_error(void) { return error_text; }

static int fails(Status *status) {
  if (!status) return 0;
  snprintf(error_text, sizeof error_text, "%s", api->message(status));
  api->release_status(status);
  return 1;
}

/* The path of a file beside the program. */
static int beside(const char *name, char *path, size_t size) {
  ssize_t length = readlink("/proc/self/exe", path, size - 1);
  if (length < 0) return 0;
  path[length] = 0;
  char *slash = strrchr(path, '/');
  size_t folder = slash ? (size_t)(slash - path) + 1 : 0;
  return folder && snprintf(path + folder, size - folder, "%s", name) < (int)(size - folder);
}

static int load(void) {
  char path[4096];
  if (!beside("libonnxruntime.so.1", path, sizeof path)) return 1;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  const struct ApiBase *(*base)(void) = NULL;
  void *symbol = library ? dlsym(library, "OrtGetApiBase") : NULL;
  if (!symbol) {
    snprintf(error_text, sizeof error_text, "%s", dlerror());
    return 1;
  }
  memcpy(&base, &symbol, sizeof base);
  api = base()->get(API_VERSION);
  if (api) return 0;
  snprintf(error_text, sizeof error_text, "libonnxruntime.so.1 is older than API version %d",
           API_VERSION);
  return 1;
}

int engine_start(void) {
  char path[4096];
  Handle *env = NULL, *options = NULL;
  if (session) return 0;
  if (load() || !beside("model.onnx", path, sizeof path)) return 1;
  return fails(api->create_env(LOG_ERROR, "suture", &env)) ||
         fails(api->create_options(&options)) ||
         fails(api->set_intra_threads(options, served.threads > 0 ? served.threads : 1)) ||
         fails(api->set_inter_threads(options, 1)) ||
         fails(api->create_memory(CPU_ARENA, MEMORY_DEFAULT, &memory)) ||
         fails(api->create_session(env, path, options, &session));
}

void *engine_input(int input, size_t bytes) {
  if (bytes <= places[input].bytes && places[input].data) return places[input].data;
  free(places[input].data);
  places[input].bytes = bytes ? bytes : 1;
  if (posix_memalign(&places[input].data, ALIGNMENT, places[input].bytes)) {
    places[input].data = NULL;
    places[input].bytes = 0;
  }
  return places[input].data;
}

static void release(Value **values, int count) {
  for (int i = 0; i < count; ++i) {
    if (values[i]) api->release_value(values[i]);
    values[i] = NULL;
  }
}

static int give(int input, const struct Tensor *tensor) {
  return fails(api->create_tensor(memory, tensor->data, tensor->bytes, tensor->shape,
                                  (size_t)tensor->rank,
                                  types[served.inputs[input].datatype], &given[input]));
}

static int take(int output, struct Tensor *tensor) {
  Info *info = NULL;
  size_t rank = 0;
  if (fails(api->info(made[output], &info))) return 1;
  int failed = fails(api->rank(info, &rank));
  if (!failed && rank > MOST_RANK) {
    snprintf(error_text, sizeof error_text, "output %s has rank %zu, at most %d can be told",
             served.outputs[output].name, rank, MOST_RANK);
    failed = 1;
  }
  failed = failed || fails(api->shape(info, tensor->shape, rank));
  api->release_info(info);
  if (failed) return 1;
  tensor->rank = (int)rank;
  tensor->bytes = datatype_size(served.outputs[output].datatype);
  for (size_t i = 0; i < rank; ++i) tensor->bytes *= (size_t)tensor->shape[i];
  return fails(api->tensor_data(made[output], &tensor->data));
}

static int run(const struct Tensor *inputs, struct Tensor *outputs) {
  const char *input_names[MOST_PORTS], *output_names[MOST_PORTS];
  for (int i = 0; i < served.num_inputs; ++i) {
    input_names[i] = served.inputs[i].name;
    if (give(i, &inputs[i])) return 1;
  }
  for (int i = 0; i < served.num_outputs; ++i) output_names[i] = served.outputs[i].name;
  if (fails(api->run(session, NULL, input_names, given, (size_t)served.num_inputs, output_names,
                     (size_t)served.num_outputs, made)))
    return 1;
  for (int i = 0; i < served.num_outputs; ++i)
    if (take(i, &outputs[i])) return 1;
  return 0;
}

enum Outcome engine_run(const struct Tensor *inputs, struct Tensor *outputs) {
  error_text[0] = 0;
  release(made, served.num_outputs); /* what the last run answered */
  int failed = run(inputs, outputs);
  release(given, served.num_inputs);
  return failed ? FAILED : DONE;
}

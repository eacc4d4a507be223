/* Runs a plan, and gives TVM's kernels the few functions they call back. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "ahead.h"
#include "clock.h"
#include "model.h"
#include "plan.h"
#include "pool.h"
#include "scratch.h"

enum { HUGE_PAGE = 2 << 20 };

/* TVM's object code defines these pointers where its kernels use them. */
extern void *(*__TVMBackendAllocWorkspace)(int, int, uint64_t, int, int)
    __attribute__((weak, visibility("hidden")));
extern int (*__TVMBackendFreeWorkspace)(int, int, void *) __attribute__((weak, visibility("hidden")));
extern int (*__TVMBackendParallelLaunch)(ParallelTask *, void *, int)
    __attribute__((weak, visibility("hidden")));
extern int (*__TVMBackendParallelBarrier)(int, TVMParallelGroupEnv *)
    __attribute__((weak, visibility("hidden")));

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t n);

static char error_text[1024];
static atomic_flag told = ATOMIC_FLAG_INIT; /* of the tasks that fail, the first one tells */
static char *arena;
static const struct KernelSet *set;
static const struct Plan *plan;

void TVMFFIErrorSetRaisedFromCStrParts(const char *kind, const char **parts, int32_t n) {
  if (atomic_flag_test_and_set(&told)) return;
  size_t used = (size_t)snprintf(error_text, sizeof error_text, "%s: ", kind);
  for (int32_t i = 0; i < n && used < sizeof error_text; ++i)
    if (parts[i])
      used += (size_t)snprintf(error_text + used, sizeof error_text - used, "%s", parts[i]);
}

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
  TVMFFIErrorSetRaisedFromCStrParts(kind, &message, 1);
}

/* Takes the first set whose instructions this processor has; zero where there is none. */
static int choose_set(void) {
  for (set = plan_sets; set < plan_sets + plan_num_sets; ++set)
    if (cpu_has(set->needs)) return 1;
  snprintf(error_text, sizeof error_text,
           "this processor lacks the vector instructions of %s, which the program is compiled for",
           set[-1].processor);
  return 0;
}

/* The programs take turns in one arena. */
static uint64_t largest_arena(void) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < num_plans; ++i)
    if (plans[i]->arena_bytes > bytes) bytes = plans[i]->arena_bytes;
  return bytes;
}

/* Its first touch costs a page fault for each huge page, where it fills such, instead of 512. */
static char *allocate_arena(uint64_t bytes) {
  void *start = NULL;
  if (bytes < HUGE_PAGE) return allocate_lines(bytes);
  if (posix_memalign(&start, HUGE_PAGE, bytes)) return NULL;
  madvise(start, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish */
  return start;
}

static int most_threads(void) {
  int most = 1;
  for (uint32_t i = 0; i < num_plans; ++i)
    if (plans[i]->threads > most) most = plans[i]->threads;
  return most < POOL_MOST_THREADS ? most : POOL_MOST_THREADS;
}

int model_init(void) {
  if (arena) return 0;
  if (!choose_set()) return 1;
  if (&__TVMBackendAllocWorkspace) __TVMBackendAllocWorkspace = scratch_alloc;
  if (&__TVMBackendFreeWorkspace) __TVMBackendFreeWorkspace = scratch_free;
  if (&__TVMBackendParallelLaunch) __TVMBackendParallelLaunch = pool_launch;
  if (&__TVMBackendParallelBarrier) __TVMBackendParallelBarrier = pool_barrier;
  pool_set_threads(most_threads());
  arena = allocate_arena(largest_arena());
  plan = plans[0];
  if (arena) return 0;
  snprintf(error_text, sizeof error_text, "no memory for an arena of %llu bytes",
           (unsigned long long)largest_arena());
  return 1;
}

int model_set_threads(int threads) {
  int most = most_threads();
  threads = threads < 1 ? 1 : threads > most ? most : threads;
  pool_set_threads(threads);
  return threads;
}

int model_use(int program) {
  if (!arena || program < 0 || program >= (int)num_plans) {
    snprintf(error_text, sizeof error_text, "%s",
             arena ? "there is no such program" : "model_init was not called");
    return 1;
  }
  plan = plans[program];
  return 0;
}

static void *address(const struct Place *place, void **inputs, void **outputs) {
  char *base = (char *)weights_start;
  switch (place->space) {
    case INPUT: base = inputs[place->buffer]; break;
    case OUTPUT: base = outputs[place->buffer]; break;
    case ARENA: base = arena; break;
    case WEIGHTS: break;
  }
  return base + place->offset;
}

int copy_tensor(void *self, const TVMFFIAny *args, int32_t num_args, TVMFFIAny *result) {
  const DLTensor *from = args[0].v_ptr, *to = args[1].v_ptr;
  uint64_t bytes = to->dtype.bits / 8;
  (void)self, (void)num_args, (void)result;
  for (int32_t i = 0; i < to->ndim; ++i) bytes *= (uint64_t)to->shape[i];
  memcpy(to->data, from->data, bytes);
  return 0;
}

static int skip_where(int truth, const TVMFFIAny *args, TVMFFIAny *result) {
  const DLTensor *condition = args[0].v_ptr;
  result->v_int64 = (*(const uint8_t *)condition->data != 0) == truth;
  return 0;
}

int skip_unless(void *self, const TVMFFIAny *args, int32_t num_args, TVMFFIAny *result) {
  (void)self, (void)num_args;
  return skip_where(0, args, result);
}

int skip_if(void *self, const TVMFFIAny *args, int32_t num_args, TVMFFIAny *result) {
  (void)self, (void)num_args;
  return skip_where(1, args, result);
}

/* Runs a call and moves on to the next one. */
static int run_call(uint32_t *i) {
  TVMFFIAny result = {kTVMFFINone, 0, {0}};
  const struct Call *call = &plan->calls[(*i)++];
  TVMFFIAny args[call->num_args + 1];
  for (int32_t j = 0; j < call->num_args; ++j)
    args[j] = (TVMFFIAny){kTVMFFIDLTensorPtr, 0, {.v_ptr = &plan->tensors[call->args[j]]}};
  scratch_set(arena + call->workspace, call->workspace_bytes);
  if (set->kernels[call->kernel](NULL, args, call->num_args, &result)) return 1;
  if (call->skip && result.v_int64) *i += call->skip;
  return 0;
}

static int run_calls(uint64_t *nanoseconds) {
  for (uint32_t i = 0; i < plan->num_calls;) {
    int64_t start = nanoseconds ? now_ns() : 0;
    uint32_t call = i;
    if (run_call(&i)) return 1;
    if (nanoseconds) nanoseconds[call] += (uint64_t)(now_ns() - start);
  }
  return 0;
}

/* Once: programs have most of their weights in common. */
static void read_ahead(void) {
  static int begun;
  if (!begun) ahead_start(plan);
  begun = 1;
}

int model_profile(void **inputs, void **outputs, uint64_t *nanoseconds) {
  if (!arena) {
    snprintf(error_text, sizeof error_text, "model_init was not called");
    return 1;
  }
  error_text[0] = 0;
  atomic_flag_clear(&told);
  for (uint32_t i = 0; i < plan->num_tensors; ++i) {
    const struct Place *place = &plan->places[i];
    plan->tensors[i] = (DLTensor){.data = address(place, inputs, outputs),
                                  .device = {kDLCPU, 0},
                                  .ndim = place->rank,
                                  .dtype = {place->code, place->bits, 1},
                                  .shape = place->shape};
  }
  read_ahead();
  pool_begin();
  int status = run_calls(nanoseconds);
  pool_end();
  return status;
}

int model_run(void **inputs, void **outputs) { return model_profile(inputs, outputs, NULL); }

static const struct Plan *used(void) { return plan ? plan : plans[0]; }

const char *model_error(void) { return error_text; }
const char *model_processor(void) { return arena ? set->processor : ""; }
int model_n_programs(void) { return (int)num_plans; }
int model_n_in(void) { return (int)used()->num_inputs; }
int model_n_out(void) { return (int)used()->num_outputs; }
int model_n_kernels(void) { return (int)used()->num_calls; }
uint64_t model_in_bytes(int input) { return used()->input_bytes[input]; }
uint64_t model_out_bytes(int output) { return used()->output_bytes[output]; }
uint64_t model_arena_bytes(void) { return largest_arena(); }

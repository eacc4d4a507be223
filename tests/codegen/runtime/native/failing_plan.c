/* A plan of one kernel whose parallel loop fails in every task, as TVM's code does. */
#include "model.h"
#include "plan.h"

#include <stdio.h>
#include <string.h>

int (*__TVMBackendParallelLaunch)(ParallelTask *, void *, int);

const char weights_start[1];
static int fails = 1;

static int task(int id, TVMParallelGroupEnv *env, void *data) {
  (void)id, (void)env, (void)data;
  if (!fails) return 0;
  TVMFFIErrorSetRaisedFromCStr("ValueError", "one of the tasks");
  return -1;
}

static int kernel(void *self, const TVMFFIAny *args, int32_t num_args, TVMFFIAny *result) {
  (void)self, (void)args, (void)num_args, (void)result;
  return __TVMBackendParallelLaunch(task, NULL, 0);
}

static Kernel *const kernels[] = {kernel};
const struct KernelSet plan_sets[] = {{"any", CPU_X86_64, kernels},
                                      {"any", CPU_GENERIC, kernels}};
const uint32_t plan_num_sets = 2;
static const struct Call calls[] = {{0, NULL, 0, 0, 0, 0}};
static const struct Plan plan = {.calls = calls, .num_calls = 1, .threads = 4};
const struct Plan *const plans[] = {&plan};
const uint32_t num_plans = 1;

int main(void) {
  if (model_init()) return 1;
  if (model_set_threads(9) != 4 || model_set_threads(0) != 1) return 2;
  for (int threads = 1; threads <= 4; ++threads) {
    if (model_set_threads(threads) != threads) return 3;
    for (int round = 0; round < 100; ++round) {
      fails = round % 2 == 0;
      if ((model_run(NULL, NULL) != 0) != fails) return 4;
      if (strcmp(model_error(), fails ? "ValueError: one of the tasks" : "")) return 5;
    }
  }
  return 0;
}

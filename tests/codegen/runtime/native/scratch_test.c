/* Exercises scratch.c over the pool; prints what went wrong and returns how much did. */
#include "scratch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "pool.h"

enum { AREA = 1 << 16, TURNS = 40, THREADS = 4 };

static _Alignas(64) char area[AREA];
static atomic_int wrong, beyond, within;

void TVMFFIErrorSetRaisedFromCStr(const char *kind, const char *message) {
  printf("%s: %s\n", kind, message);
}

static void expect(int holds, const char *what) {
  if (holds) return;
  printf("wrong: %s\n", what);
  ++wrong;
}

static int is_inside(const char *block) {
  return (uintptr_t)block - (uintptr_t)area < AREA;
}

/* Two workspaces at a time, full of a mark of the task's own until they are given back. */
static int work(int task, TVMParallelGroupEnv *env, void *data) {
  size_t bytes = *(const size_t *)data;
  (void)env;
  for (int turn = 0; turn < TURNS; ++turn) {
    size_t sizes[] = {bytes + (size_t)(turn % 3), bytes / 2};
    char *blocks[2];
    for (int i = 0; i < 2; ++i) {
      blocks[i] = scratch_alloc(1, 0, sizes[i], 2, 32);
      if (!blocks[i]) return 1;
      expect((uintptr_t)blocks[i] % 64 == 0, "a workspace amid a line");
      is_inside(blocks[i]) ? ++within : ++beyond;
      memset(blocks[i], task * 2 + i, sizes[i]);
    }
    for (int i = 0; i < 2; ++i) {
      for (size_t at = 0; at < sizes[i]; ++at)
        if (blocks[i][at] != (char)(task * 2 + i)) {
          expect(0, "two tasks have one workspace");
          break;
        }
      scratch_free(1, 0, blocks[i]);
    }
  }
  return 0;
}

static void run(size_t area_bytes, size_t bytes) {
  within = beyond = 0;
  scratch_set(area, area_bytes);
  pool_begin();
  expect(!pool_launch(work, &bytes, 0), "a launch fails");
  pool_end();
}

int main(void) {
  pool_set_threads(THREADS);
  run(AREA, 1000);
  expect(within > 0 && !beyond, "what fits lies elsewhere");
  run(2500, 1000);
  expect(within > 0, "nothing lies in what there is");
  run(0, 1000);
  expect(!within && beyond > 0, "workspaces in no memory");
  run(AREA, AREA + 1);
  expect(beyond > 0, "more than there is");
  run(AREA, 0);
  return wrong;
}

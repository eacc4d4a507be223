/* Exercises ahead.c on a plan whose second call decides on the third; prints what went
 * wrong and returns how much did. */
#define _POSIX_C_SOURCE 200809L
#include "ahead.h"

#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PART = 4 << 20, PAGE = 4096, PATIENCE = 10000 };

const char weights_start[3 * PART] = {0};
static const int64_t small[] = {1}, large[] = {PART / 4};
static const struct Place places[] = {{WEIGHTS, 2, 32, 1, 0, large, 0},
                                      {WEIGHTS, 2, 32, 1, 0, large, PART},
                                      {WEIGHTS, 2, 32, 1, 0, large, 2 * PART},
                                      {ARENA, 2, 32, 1, 0, small, 0}};
static const uint32_t args[] = {0, 1, 2, 3};
static const struct Call calls[] = {{0, args, 1, 0, 0, 0},
                                    {0, args + 3, 1, 1, 0, 0},
                                    {0, args + 1, 1, 0, 0, 0},
                                    {0, args + 2, 1, 0, 0, 0}};
static const struct Plan plan = {
    .places = places, .num_tensors = 4, .calls = calls, .num_calls = 4};
static const struct Plan light = {
    .places = places, .num_tensors = 4, .calls = calls + 1, .num_calls = 1};

/* Whether the page amid a part is in this process's memory. */
static int is_mapped(int part) {
  uint64_t entry = 0;
  off_t page = (off_t)((uintptr_t)(weights_start + part * PART + PART / 2) / PAGE);
  int table = open("/proc/self/pagemap", O_RDONLY);
  if (pread(table, &entry, sizeof entry, page * (off_t)sizeof entry) != sizeof entry)
    puts("wrong: the pages cannot be told");
  close(table);
  return entry >> 63;
}

static void sleep_a_millisecond(void) {
  const struct timespec pause = {0, 1000000};
  nanosleep(&pause, NULL);
}

int main(void) {
  int wrong = is_mapped(0) + is_mapped(1) + is_mapped(2);
  if (wrong) puts("wrong: weights are mapped before they are read");
  ahead_start(&light);
  for (int i = 0; i < 100; ++i) sleep_a_millisecond();
  wrong += is_mapped(0);
  ahead_start(&plan);
  for (int i = 0; i < PATIENCE && !(is_mapped(0) && is_mapped(2)); ++i) sleep_a_millisecond();
  if (!is_mapped(0) || !is_mapped(2)) ++wrong, puts("wrong: weights are not mapped ahead");
  if (is_mapped(1)) ++wrong, puts("wrong: a branch's weights are");
  return wrong;
}

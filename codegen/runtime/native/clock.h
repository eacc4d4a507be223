/* What time it is. */
#pragma once

#include <stdint.h>
#include <time.h>

/* On a clock that only goes on. */
static inline int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t now_ms(void) { return now_ns() / 1000000; }

/* Since 1970. */
static inline int64_t date_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

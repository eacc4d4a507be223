#define _POSIX_C_SOURCE 200112L
#include "ahead.h"

#include <pthread.h>
#include <signal.h>

enum { PAGE = 4096 };
/* Fewer bytes are mapped sooner than a thread starts. */
static const uint64_t least_bytes = 2 << 20;

static uint64_t bytes_of(const struct Place *place) {
  uint64_t bits = place->bits;
  for (int i = 0; i < place->rank; ++i) bits *= (uint64_t)place->shape[i];
  return bits / 8;
}

/* Reads a byte of every page of the weights of all calls that are sure to run; with `touch`
 * unset, only counts their bytes. */
static uint64_t go_over(const struct Plan *plan, int touch) {
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < plan->num_calls; ++i) {
    const struct Call *call = &plan->calls[i];
    for (int32_t j = 0; j < call->num_args; ++j) {
      const struct Place *place = &plan->places[call->args[j]];
      if (place->space != WEIGHTS) continue;
      const volatile char *start = weights_start + place->offset;
      uint64_t size = bytes_of(place);
      for (uint64_t at = 0; touch && at < size; at += PAGE) (void)start[at];
      bytes += size;
    }
    i += call->skip;
  }
  return bytes;
}

static void *run(void *plan) {
  go_over(plan, 1);
  return NULL;
}

void ahead_start(const struct Plan *plan) {
  pthread_t thread;
  sigset_t all, before;
  if (go_over(plan, 0) < least_bytes) return;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the host's threads */
  if (!pthread_create(&thread, NULL, run, (void *)plan)) pthread_detach(thread);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

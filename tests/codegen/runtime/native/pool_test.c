/* Exercises pool.c; prints what went wrong and returns how much did. */
#define _GNU_SOURCE
#include "pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 3000, LENGTH = 1000 };

static int wrong;

static void expect(int holds, const char *what) {
  if (holds) return;
  printf("wrong: %s\n", what);
  ++wrong;
}

/* A loop as TVM compiles it: each task takes its part of the rounds. */
struct Loop {
  int rounds, counts[LENGTH], fail_at;
};

static int part(int task, TVMParallelGroupEnv *env, void *data) {
  struct Loop *loop = data;
  int each = (loop->rounds + env->num_task - 1) / env->num_task;
  int end = (task + 1) * each < loop->rounds ? (task + 1) * each : loop->rounds;
  for (int i = task * each; i < end; ++i) {
    ++loop->counts[i];
    if (i == loop->fail_at) return -1;
  }
  return 0;
}

static void clear(struct Loop *loop, int rounds) {
  loop->rounds = rounds;
  loop->fail_at = -1;
  for (int i = 0; i < LENGTH; ++i) loop->counts[i] = 0;
}

static int all_once(const struct Loop *loop) {
  for (int i = 0; i < LENGTH; ++i)
    if (loop->counts[i] != (i < loop->rounds)) return 0;
  return 1;
}

static void every_round_runs_once(int threads) {
  static struct Loop loop;
  pool_set_threads(threads);
  for (int round = 0; round < ROUNDS; ++round) {
    if (round % 50 == 0) pool_begin();
    clear(&loop, round % (LENGTH + 1));
    expect(pool_launch(part, &loop, 0) == 0, "a launch fails");
    expect(all_once(&loop), "a round runs never or twice");
    if (round % 50 == 49) pool_end();
    if (round % 500 == 499) usleep(2000); /* workers fall asleep */
  }
}

static void an_error_of_one_task_is_that_of_the_launch(void) {
  static struct Loop loop;
  pool_set_threads(3);
  for (int at = 0; at < LENGTH; at += 37) {
    clear(&loop, LENGTH);
    loop.fail_at = at;
    expect(pool_launch(part, &loop, 0) != 0, "an error is lost");
    loop.fail_at = -1;
    clear(&loop, LENGTH);
    expect(pool_launch(part, &loop, 0) == 0, "an error stays");
  }
}

static int outer(int task, TVMParallelGroupEnv *env, void *data) {
  struct Loop *loops = data;
  (void)env;
  return pool_launch(part, &loops[task], 0);
}

static void a_loop_within_a_loop_runs(void) {
  enum { TASKS = 64 };
  struct Loop *loops = calloc(TASKS, sizeof *loops);
  pool_set_threads(2);
  for (int i = 0; i < TASKS; ++i) clear(&loops[i], LENGTH);
  expect(pool_launch(outer, loops, 0) == 0, "a nested launch fails");
  int launched = 0;
  while (launched < TASKS && loops[launched].counts[0]) expect(all_once(&loops[launched++]), "nested");
  expect(launched > 1, "tasks are missing");
  free(loops);
}

struct Meeting {
  pthread_t caller;
  atomic_int others;
  int patience; /* hundreds of microseconds that the caller waits for another thread */
};

static int meet(int task, TVMParallelGroupEnv *env, void *data) {
  struct Meeting *meeting = data;
  (void)task, (void)env;
  if (!pthread_equal(meeting->caller, pthread_self())) atomic_fetch_add(&meeting->others, 1);
  else
    for (int i = 0; i < meeting->patience && !atomic_load(&meeting->others); ++i) usleep(100);
  return 0;
}

/* Whether another thread takes part. */
static int in_company(int threads) {
  struct Meeting meeting = {pthread_self(), 0, threads > 1 ? 100000 : 10};
  pool_set_threads(threads);
  pool_launch(meet, &meeting, 0);
  return atomic_load(&meeting.others) > 0;
}

static void threads_are_those_asked_for(void) {
  expect(!in_company(1), "one thread is not the caller");
  expect(!in_company(0), "no thread is not the caller");
  expect(in_company(2), "the second thread does nothing");
  expect(in_company(POOL_MOST_THREADS + 1), "too many threads");
  expect(!in_company(1), "back to one thread");
}

static void a_child_process_has_threads_of_its_own(void) {
#ifndef __SANITIZE_THREAD__ /* it cannot follow threads that start after a fork */
  expect(in_company(2), "the parent before the fork");
  pid_t child = fork();
  if (!child) {
    static struct Loop loop;
    pool_begin();
    clear(&loop, LENGTH);
    int good = !pool_launch(part, &loop, 0) && all_once(&loop);
    pool_end();
    exit(good && in_company(2) && in_company(3) ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && !WEXITSTATUS(status), "the child");
  expect(in_company(2), "the parent after the fork");
#endif
}

int main(void) {
  every_round_runs_once(1);
  every_round_runs_once(2);
  every_round_runs_once(5);
  an_error_of_one_task_is_that_of_the_launch();
  a_loop_within_a_loop_runs();
  threads_are_those_asked_for();
  a_child_process_has_threads_of_its_own();
  expect(pool_barrier(0, NULL) != 0, "a barrier is passed over");
  return wrong;
}

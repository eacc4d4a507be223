/* Threads for TVM's parallel loops.
 *
 * A loop is cut into a few tasks for each thread. Threads claim them one by one, the caller
 * from the front and workers from the back: who comes late or loses its processor holds up
 * nobody for longer than one task, and undisturbed threads get neighbouring tasks, the same in
 * every loop of equal length.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

enum { TASKS_PER_THREAD = 8, SPIN_NS = 50000, SPINS_PER_LOOK_AT_CLOCK = 16 };

static int threads = 1; /* wanted, with the caller */
static int workers;     /* started */
static pthread_t handles[POOL_MOST_THREADS];
static pid_t owner; /* the process that the workers belong to */
static int beside;  /* the processor that they keep off */

/* Written by the caller only while no task is unclaimed or unfinished. */
static struct {
  ParallelTask *task;
  void *data;
  TVMParallelGroupEnv env;
} job;

/* Serial number of the job, first unclaimed task, end of the unclaimed tasks: 32, 16 and 16
 * bits. Who claims a task of a job may read the job until the task is counted as finished. */
static _Atomic uint64_t unclaimed;
static _Atomic uint32_t unfinished; /* tasks; the caller sleeps on it */
static _Atomic uint32_t epoch;      /* grows with each job; workers sleep on it */
static _Atomic uint32_t sleepers;
static _Atomic bool caller_sleeps, failed, running, stopping;
static atomic_flag busy = ATOMIC_FLAG_INIT;

static void sleep_on(_Atomic uint32_t *word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void wake(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Waits a little, within a run, for a word to differ from a value. */
static bool differs_soon(_Atomic uint32_t *word, uint32_t value) {
  int64_t end = now_ns() + SPIN_NS;
  do {
    for (int i = 0; i < SPINS_PER_LOOK_AT_CLOCK; ++i) {
      if (atomic_load_explicit(word, memory_order_acquire) != value) return true;
      relax();
    }
  } while (atomic_load_explicit(&running, memory_order_relaxed) && now_ns() < end);
  return false;
}

static int claim(bool front) {
  uint64_t seen = atomic_load_explicit(&unclaimed, memory_order_acquire);
  for (;;) {
    uint32_t first = (uint32_t)(seen >> 16) & 0xffff, end = (uint32_t)seen & 0xffff;
    if (first >= end) return -1;
    uint64_t next = front ? seen + 0x10000 : seen - 1;
    if (atomic_compare_exchange_weak(&unclaimed, &seen, next))
      return (int)(front ? first : end - 1);
  }
}

static void work(bool front) {
  for (int task; (task = claim(front)) >= 0;) {
    if (job.task(task, &job.env, job.data)) atomic_store(&failed, true);
    if (atomic_fetch_sub(&unfinished, 1) == 1 && atomic_load(&caller_sleeps)) wake(&unfinished);
  }
}

static void *worker(void *unused) {
  (void)unused;
  while (!atomic_load(&stopping)) {
    uint32_t seen = atomic_load(&epoch);
    work(false);
    if (differs_soon(&epoch, seen)) continue;
    atomic_fetch_add(&sleepers, 1);
    sleep_on(&epoch, seen);
    atomic_fetch_sub(&sleepers, 1);
  }
  return NULL;
}

static void wake_workers(void) {
  atomic_fetch_add(&epoch, 1);
  if (atomic_load(&sleepers)) wake(&epoch);
}

/* Workers keep off the processor that the caller is on: there Linux likes to put whom it
 * wakes, to wait until the caller sleeps. */
static void keep_off(int here) {
  cpu_set_t processors;
  beside = here;
  if (here < 0 || sched_getaffinity(0, sizeof processors, &processors)) return;
  if (CPU_COUNT(&processors) <= workers) return;
  CPU_CLR((size_t)here, &processors);
  for (int i = 0; i < workers; ++i)
    pthread_setaffinity_np(handles[i], sizeof processors, &processors);
}

/* Workers take no signals, which are for the host's threads. */
static void start(void) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (workers < threads - 1 && !pthread_create(&handles[workers], NULL, worker, NULL))
    ++workers;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  owner = getpid();
  keep_off(sched_getcpu());
}

/* A child process has the words of its parent's pool, but no workers. */
static void forget_parent(void) {
  if (!workers || owner == getpid()) return;
  workers = 0;
  atomic_store(&unclaimed, 0);
  atomic_store(&sleepers, 0);
  atomic_store(&caller_sleeps, false);
  atomic_flag_clear(&busy);
}

static void stop(void) {
  forget_parent();
  atomic_store(&stopping, true);
  wake_workers();
  while (workers) pthread_join(handles[--workers], NULL);
  atomic_store(&stopping, false);
}

/* The library may be unloaded, or the process end. */
__attribute__((destructor)) static void unload(void) { pool_set_threads(1); }

void pool_set_threads(int wanted) {
  wanted = wanted < 1 ? 1 : wanted > POOL_MOST_THREADS ? POOL_MOST_THREADS : wanted;
  if (wanted == threads) return;
  stop();
  threads = wanted;
}

void pool_begin(void) {
  forget_parent();
  int here = workers ? sched_getcpu() : beside;
  if (here != beside) keep_off(here);
  atomic_store_explicit(&running, true, memory_order_relaxed);
}

void pool_end(void) { atomic_store_explicit(&running, false, memory_order_relaxed); }

static void wait_for_workers(void) {
  for (uint32_t left; (left = atomic_load(&unfinished)) != 0;) {
    if (differs_soon(&unfinished, left)) continue;
    atomic_store(&caller_sleeps, true);
    left = atomic_load(&unfinished);
    if (left) sleep_on(&unfinished, left);
    atomic_store(&caller_sleeps, false);
  }
}

static int launch(ParallelTask *task, void *data) {
  uint32_t tasks = (uint32_t)(TASKS_PER_THREAD * (workers + 1));
  uint64_t serial = (atomic_load(&unclaimed) >> 32) + 1;
  job.task = task;
  job.data = data;
  job.env.num_task = (int32_t)tasks;
  atomic_store(&failed, false);
  atomic_store(&unfinished, tasks);
  atomic_store(&unclaimed, serial << 32 | tasks);
  wake_workers();
  work(true);
  wait_for_workers();
  return atomic_load(&failed) ? -1 : 0;
}

int pool_launch(ParallelTask *task, void *data, int num_task) {
  TVMParallelGroupEnv alone = {NULL, 1};
  (void)num_task;
  /* A loop within a loop finds the pool busy. */
  if (threads == 1 || atomic_flag_test_and_set(&busy)) return task(0, &alone, data);
  if (!workers) start();
  int status = workers ? launch(task, data) : task(0, &alone, data);
  atomic_flag_clear(&busy);
  return status;
}

int pool_barrier(int task_id, TVMParallelGroupEnv *env) {
  (void)task_id, (void)env;
  return -1;
}

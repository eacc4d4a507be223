/* Threads for TVM's parallel loops: one pool a library, asleep between runs. */
#pragma once

#include "tvm_abi.h"

/* From the next launch on, that many threads work, the caller being one of them. At most
 * POOL_MOST_THREADS; 1 or less means no threads but the caller. */
enum { POOL_MOST_THREADS = 64 };
void pool_set_threads(int threads);

/* Around a run of kernels: only in between may idle workers spin, for some microseconds. */
void pool_begin(void);
void pool_end(void);

/* TVMBackendParallelLaunch: runs a loop's tasks on all threads and waits for them. Threads
 * are started here, not before. Non-zero where a task returned non-zero. */
int pool_launch(ParallelTask *task, void *data, int num_task);
/* TVMBackendParallelBarrier: an error, because tasks need not run at the same time. */
int pool_barrier(int task_id, TVMParallelGroupEnv *env);

/* Workspaces of kernels: first of all the part of the arena where nothing lies at the time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Before a kernel runs: the bytes it may have. No workspace may be in use. */
void scratch_set(char *start, size_t bytes);

/* TVMBackendAllocWorkspace and TVMBackendFreeWorkspace, by any thread; beyond those bytes they
 * are malloc and free. */
void *scratch_alloc(int device_type, int device_id, uint64_t bytes, int code, int bits);
int scratch_free(int device_type, int device_id, void *block);

/* Memory at the beginning of a line of a cache; NULL where there is none. */
void *allocate_lines(uint64_t bytes);

#define _POSIX_C_SOURCE 200112L
#include "scratch.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "pool.h"
#include "tvm_abi.h"

enum { ALIGNMENT = 64, MOST_BLOCKS = 2 * POOL_MOST_THREADS };

static char *begin;
static size_t size;
static _Atomic size_t used;

/* Handed out before in this kernel; tasks take turns in them. Those without a size are not
 * there yet. */
static struct {
  _Atomic size_t bytes;
  char *start;
  atomic_flag taken;
} blocks[MOST_BLOCKS];
static _Atomic int num_blocks;

void scratch_set(char *start, size_t bytes) {
  begin = start;
  size = bytes;
  used = 0;
  for (int i = 0; i < num_blocks && i < MOST_BLOCKS; ++i) {
    blocks[i].bytes = 0;
    atomic_flag_clear(&blocks[i].taken);
  }
  num_blocks = 0;
}

void *allocate_lines(uint64_t bytes) {
  void *block = NULL;
  return posix_memalign(&block, ALIGNMENT, bytes ? bytes : 1) ? NULL : block;
}

static int known(void) {
  int count = num_blocks;
  return count < MOST_BLOCKS ? count : MOST_BLOCKS;
}

static void *used_before(size_t bytes) {
  for (int i = 0, count = known(); i < count; ++i)
    if (blocks[i].bytes >= bytes && !atomic_flag_test_and_set(&blocks[i].taken))
      return blocks[i].start;
  return NULL;
}

/* A block of the bytes that no block has; NULL where they are too few. */
static void *new_block(size_t bytes) {
  size_t at = used;
  do
    if (bytes > size - at) return NULL;
  while (!atomic_compare_exchange_weak(&used, &at, at + bytes));
  int number = num_blocks++;
  if (number >= MOST_BLOCKS) return NULL;
  atomic_flag_test_and_set(&blocks[number].taken);
  blocks[number].start = begin + at;
  blocks[number].bytes = bytes;
  return begin + at;
}

void *scratch_alloc(int device_type, int device_id, uint64_t bytes, int code, int bits) {
  (void)device_type, (void)device_id, (void)code, (void)bits;
  size_t lines = (bytes / ALIGNMENT + 1) * ALIGNMENT;
  void *block = used_before(lines);
  if (!block) block = new_block(lines);
  if (!block) block = allocate_lines(bytes);
  if (!block) TVMFFIErrorSetRaisedFromCStr("MemoryError", "none is left for a workspace");
  return block;
}

int scratch_free(int device_type, int device_id, void *block) {
  (void)device_type, (void)device_id;
  if ((uintptr_t)block - (uintptr_t)begin < size) {
    for (int i = 0, count = known(); i < count; ++i)
      if (blocks[i].bytes && blocks[i].start == block) atomic_flag_clear(&blocks[i].taken);
  } else {
    free(block);
  }
  return 0;
}

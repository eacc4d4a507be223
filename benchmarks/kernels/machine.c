/* What one core can do at best: multiply-adds in registers, and bytes read and written. */
#include <stddef.h>
#include <stdint.h>

typedef float vector __attribute__((vector_size(VECTOR_BYTES)));
enum { LANES = VECTOR_BYTES / sizeof(float), CHAINS = 12, STREAMS = 8 };

static float total(vector sum) {
  float all = 0;
  for (int i = 0; i < LANES; ++i) all += sum[i];
  return all;
}

/* Each round is CHAINS multiply-adds of vectors, none of which waits for another. The sums
 * converge, far from infinity and from denormal numbers. Returns their total, so that the work
 * is not left out, and the operations of a round in *flops, a multiply-add counted as two. */
float multiply_adds(uint64_t rounds, float factor, float term, uint64_t *flops) {
  vector sums[CHAINS];
  for (int c = 0; c < CHAINS; ++c) sums[c] = (vector){0} + (float)c;
  vector factors = (vector){0} + factor, terms = (vector){0} + term;
  for (uint64_t r = 0; r < rounds; ++r)
#pragma clang loop unroll(full)
    for (int c = 0; c < CHAINS; ++c) sums[c] = sums[c] * factors + terms;
  float all = 0;
  for (int c = 0; c < CHAINS; ++c) all += total(sums[c]);
  *flops = 2 * LANES * CHAINS;
  return all;
}

static float move_once(const vector *from, size_t reads, vector *to, size_t writes) {
  vector sums[STREAMS] = {{0}};
  size_t i = 0;
  for (; i + STREAMS <= reads; i += STREAMS)
#pragma clang loop unroll(full)
    for (int s = 0; s < STREAMS; ++s) sums[s] += from[i + (size_t)s];
  for (; i < reads; ++i) sums[0] += from[i];
  float all = 0;
  for (int s = 0; s < STREAMS; ++s) all += total(sums[s]);
  vector value = (vector){0} + all;
  for (size_t j = 0; j < writes; ++j) {
    to[j] = value;
    __asm__ volatile("" ::: "memory"); /* no call of memset, whose stores pass the caches by */
  }
  return all;
}

/* Reads some vectors and writes others, some times over: a kernel that is nothing but its
 * memory traffic. */
float move(const vector *from, size_t reads, vector *to, size_t writes, uint64_t times) {
  float all = 0;
  for (uint64_t t = 0; t < times; ++t) all += move_once(from, reads, to, writes);
  return all;
}

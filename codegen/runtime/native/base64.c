/* Base64. */
#include "base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static uint8_t meanings[256]; /* of characters; WRONG of those that have none */

enum { WRONG = 0x80 };

static void learn(void) {
  if (meanings['/']) return;
  memset(meanings, WRONG, sizeof meanings);
  for (int i = 0; i < 64; ++i) meanings[(unsigned char)alphabet[i]] = (uint8_t)i;
}

static size_t padding(struct Text text) {
  if (!text.size || text.start[text.size - 1] != '=') return 0;
  return text.start[text.size - 2] == '=' ? 2 : 1;
}

ptrdiff_t base64_size(struct Text text) {
  return text.size % 4 ? -1 : (ptrdiff_t)(text.size / 4 * 3 - padding(text));
}

/* Decodes four characters; the result has WRONG bits at the top where one is none. */
static uint32_t four(const unsigned char* c) {
  uint32_t a = meanings[c[0]], b = meanings[c[1]], d = meanings[c[2]], e = meanings[c[3]];
  return ((a | b | d | e) & WRONG) << 24 | a << 18 | b << 12 | d << 6 | e;
}

bool base64_decode(struct Text text, void* place) {
  const unsigned char* at = (const unsigned char*)text.start;
  unsigned char *to = place, last[4] = {'A', 'A', 'A', 'A'};
  size_t pad = padding(text), groups = text.size / 4;
  uint32_t wrong = 0;
  learn();
  for (size_t i = 0; i + !!pad < groups; ++i, at += 4, to += 3) {
    uint32_t bits = four(at);
    wrong |= bits;
    to[0] = (unsigned char)(bits >> 16), to[1] = (unsigned char)(bits >> 8),
    to[2] = (unsigned char)bits;
  }
  if (pad) {
    memcpy(last, at, 4 - pad);
    uint32_t bits = four(last);
    wrong |= bits;
    *to++ = (unsigned char)(bits >> 16);
    if (pad == 1) *to = (unsigned char)(bits >> 8);
  }
  return !(wrong >> 31);
}

void base64_encode(struct Buffer* buffer, const void* bytes, size_t size) {
  const unsigned char* at = bytes;
  size_t characters = (size + 2) / 3 * 4;
  char* to = buffer_reserve(buffer, characters);
  if (!to) return;
  for (; size >= 3; size -= 3, at += 3, to += 4) {
    uint32_t bits = (uint32_t)at[0] << 16 | (uint32_t)at[1] << 8 | at[2];
    for (int i = 0; i < 4; ++i) to[i] = alphabet[bits >> (18 - 6 * i) & 63];
  }
  if (size) {
    uint32_t bits = (uint32_t)at[0] << 16 | (size == 2 ? (uint32_t)at[1] << 8 : 0);
    to[0] = alphabet[bits >> 18], to[1] = alphabet[bits >> 12 & 63];
    to[2] = size == 2 ? alphabet[bits >> 6 & 63] : '=', to[3] = '=';
  }
  buffer_took(buffer, characters);
}

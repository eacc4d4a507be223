/* Text that grows, and the two codes that texts are written in: UTF-8 and JSON's strings. */
#define _GNU_SOURCE
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LEAST_CAPACITY = 256, LEAST_GIVEN_BACK = 64 << 10 };

struct Text text_of(const char *word) { return (struct Text){word, strlen(word)}; }

bool text_is(struct Text text, const char *word) {
  return text.size == strlen(word) && !memcmp(text.start, word, text.size);
}

bool text_is_any_case(struct Text text, const char *word) {
  return text.size == strlen(word) && !strncasecmp(text.start, word, text.size);
}

/* What is usual falls by an eighth each time, down to what was there last. */
void buffer_clear(struct Buffer *buffer) {
  buffer->usual -= buffer->usual / 8;
  if (buffer->usual < buffer->size) buffer->usual = buffer->size;
  if (buffer->capacity / 4 > buffer->usual + LEAST_GIVEN_BACK) buffer_free(buffer);
  buffer->size = 0;
  buffer->failed = false;
}

void buffer_free(struct Buffer *buffer) {
  free(buffer->start);
  *buffer = (struct Buffer){.limit = buffer->limit};
}

static bool grow(struct Buffer *buffer, size_t needed) {
  size_t capacity = 2 * buffer->capacity;
  if (capacity < needed) capacity = needed;
  if (capacity < LEAST_CAPACITY) capacity = LEAST_CAPACITY;
  char *start = realloc(buffer->start, capacity);
  if (!start) return false;
  buffer->start = start;
  buffer->capacity = capacity;
  return true;
}

char *buffer_reserve(struct Buffer *buffer, size_t bytes) {
  size_t needed = buffer->size + bytes;
  bool fits = needed >= bytes && (!buffer->limit || needed <= buffer->limit);
  if (!fits || ((needed > buffer->capacity || !buffer->start) && !grow(buffer, needed)))
    buffer->failed = true;
  return buffer->failed ? NULL : buffer->start + buffer->size;
}

void buffer_took(struct Buffer *buffer, size_t bytes) { buffer->size += bytes; }

void buffer_add(struct Buffer *buffer, const void *bytes, size_t size) {
  char *place = buffer_reserve(buffer, size);
  if (!place || !size) return;
  memcpy(place, bytes, size);
  buffer_took(buffer, size);
}

void buffer_print_list(struct Buffer *buffer, const char *format, va_list list) {
  va_list again;
  va_copy(again, list);
  int size = vsnprintf(NULL, 0, format, list);
  char *place = buffer_reserve(buffer, (size_t)size + 1);
  if (place) {
    vsnprintf(place, (size_t)size + 1, format, again);
    buffer_took(buffer, (size_t)size);
  }
  va_end(again);
}

void buffer_print(struct Buffer *buffer, const char *format, ...) {
  va_list list;
  va_start(list, format);
  buffer_print_list(buffer, format, list);
  va_end(list);
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t utf8_size(const char *at, const char *end) {
  const unsigned char *c = (const unsigned char*)at;
  size_t size = c[0] < 0x80 ? 1 : c[0] < 0xc2 ? 0 : c[0] < 0xe0 ? 2 : c[0] < 0xf0 ? 3 : 4;
  if (!size || c[0] > 0xf4 || (size_t)(end - at) < size) return 0;
  for (size_t i = 1; i < size; ++i)
    if ((c[i] & 0xc0) != 0x80) return 0;
  bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
  bool surrogate = c[0] == 0xed && c[1] > 0x9f, beyond = c[0] == 0xf4 && c[1] > 0x8f;
  return overlong || surrogate || beyond ? 0 : size;
}

/* What stands for a character of a string that JSON does not take as it is. */
static void quote_one(struct Buffer *buffer, char c) {
  unsigned char byte = (unsigned char)c;
  if (c == '"' || c == '\\') buffer_print(buffer, "\\%c", c);
  else if (byte < 0x20) buffer_print(buffer, "\\u%04x", byte);
  else buffer_print(buffer, "\\ufffd"); /* no UTF-8 */
}

void buffer_quote(struct Buffer *buffer, struct Text text) {
  const char *end = text.start + text.size, *from = text.start;
  buffer_add(buffer, "\"", 1);
  for (const char *at = from; at < end;) {
    size_t size = utf8_size(at, end);
    if (size && *at != '"' && *at != '\\' && (unsigned char)*at >= 0x20) {
      at += size;
      continue;
    }
    buffer_add(buffer, from, (size_t)(at - from));
    quote_one(buffer, *at);
    from = ++at;
  }
  if (from < end) buffer_add(buffer, from, (size_t)(end - from));
  buffer_add(buffer, "\"", 1);
}

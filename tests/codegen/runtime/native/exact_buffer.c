/* What image.c asks of a buffer, in memory of exactly the size asked for, so that a sanitizer
 * sees every access beyond; text.c keeps room to grow. */
#include <stdlib.h>

#include "text.h"

void buffer_free(struct Buffer *buffer) {
  free(buffer->start);
  *buffer = (struct Buffer){.limit = buffer->limit};
}

void buffer_clear(struct Buffer *buffer) { buffer_free(buffer); }

char *buffer_reserve(struct Buffer *buffer, size_t bytes) {
  bool fits = !buffer->limit || bytes <= buffer->limit;
  buffer_free(buffer);
  buffer->start = fits ? malloc(bytes) : NULL;
  buffer->failed = !buffer->start;
  return buffer->start;
}

void buffer_took(struct Buffer *buffer, size_t bytes) { buffer->size = bytes; }

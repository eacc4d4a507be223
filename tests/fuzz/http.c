/* HTTP's reader: requests or responses, as the first byte says, in pieces of a size that the
 * second one gives, must be read as those that come at once. */
#include "http.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool holds) {
  if (!holds) abort();
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t size) {
  for (size_t i = 0; i < size; ++i) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
  return (hash ^ size) * 0x100000001b3;
}

static void check(const struct Message *message) {
  expect(message->at <= message->bytes.size && message->bytes.size <= message->bytes.capacity);
  expect(message->head <= MOST_HEAD_BYTES + MOST_LINE_BYTES);
  if (message->part > HEADERS) expect(message->head + message->body <= message->at);
  if (message->head && !message->response)
    expect(message->path_at + message->path < message->head);
}

static uint64_t tell(uint64_t hash, const struct Message *message) {
  static const char *const names[] = {"content-type", "host", "lambda-runtime-aws-request-id"};
  const char *start = message->bytes.start;
  hash = mix(hash, start, message->method);
  hash = mix(hash, start + message->path_at, message->path);
  hash = mix(hash, start + message->head, message->body);
  for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
    struct Text value = http_header(message, names[i]);
    if (value.size) hash = mix(hash, value.start, value.size);
  }
  const int flags[] = {message->status, message->keep_alive, message->waits};
  return mix(hash, flags, sizeof flags);
}

/* Memory that just fits shows what is read behind its end. */
static void add_exactly(struct Buffer *bytes, const uint8_t *piece, size_t size) {
  struct Buffer exact = {.size = bytes->size + size, .capacity = bytes->size + size};
  exact.start = malloc(exact.size);
  if (bytes->size) memcpy(exact.start, bytes->start, bytes->size);
  memcpy(exact.start + bytes->size, piece, size);
  buffer_free(bytes);
  *bytes = exact;
}

static uint64_t read_in_pieces(const uint8_t *data, size_t size, bool response, size_t piece) {
  struct Message message = {.response = response};
  uint64_t hash = 0;
  int status = HTTP_MORE;
  for (size_t at = 0; at < size && status == HTTP_MORE; at += piece) {
    add_exactly(&message.bytes, data + at, size - at < piece ? size - at : piece);
    while ((status = http_parse(&message)) == HTTP_COMPLETE) {
      check(&message);
      hash = tell(hash, &message);
      http_next(&message);
      if (!message.bytes.size) break;
    }
    if (status == HTTP_COMPLETE) status = HTTP_MORE;
    check(&message);
  }
  hash = mix(hash, &status, sizeof status);
  buffer_free(&message.bytes);
  return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  bool response = data[0] & 1;
  size_t piece = (size_t)data[1] + 1;
  expect(read_in_pieces(data + 2, size - 2, response, piece) ==
         read_in_pieces(data + 2, size - 2, response, size));
  return 0;
}

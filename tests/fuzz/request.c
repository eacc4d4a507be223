/* Fuzzes JSON and the protocol: a body, whose document ends at the first zero byte, if any. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "serve.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct Reply reply;
  static struct Trace trace;
  char length[24], *body = malloc(size ? size : 1);
  const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
  if (size) memcpy(body, data, size);
  struct Request request = {.method = text_of("POST"), .path = text_of("/"), .body = body, .size = size};
  if (zero) {
    snprintf(length, sizeof length, "%td", zero - data);
    memmove(body + (zero - data), zero + 1, (size_t)(data + --request.size - zero));
    request.header_length = text_of(length);
  }
  serve_request(&request, &reply, &trace);
  struct Json json = json_reader((struct Text){reply.json.start, reply.json.size});
  json_skip(&json);
  if (!json_done(&json)) abort();
  free(body);
  return 0;
}

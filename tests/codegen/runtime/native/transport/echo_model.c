/* In place of serve.c and an engine: answers with what it was asked, or later, or not at all. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "serve.h"

const struct Served served = {.name = "echo", .version = "1", .backend = "tvm",
                              .plan = "a \"plan\"", .plan_digest = "abc"};

int engine_start(void) { return getenv("ECHO_CANNOT_START") != NULL; }
const char *engine_error(void) { return "the processor lacks \"something\""; }

static bool is(struct Text text, const char *word) {
  return text.size == strlen(word) && !memcmp(text.start, word, text.size);
}

static void begin(struct Trace *trace, int status) {
  trace->request = true;
  trace->status = status;
  trace->decode_ns = 1500;
  trace->run_ns = status == 200 ? 2000000 : 0;
  trace->encode_ns = status == 200 ? 499 : 0;
  buffer_clear(&trace->profile);
  buffer_clear(&trace->correct);
}

void serve_request(const struct Request *request, struct Reply *reply, struct Trace *trace) {
  buffer_clear(&reply->json);
  buffer_clear(&reply->binary);
  begin(trace, 200);
  reply->status = 200;
  if (is(request->path, "/ready")) {
    trace->request = false;
    buffer_print(&reply->json, "{\"ready\": true}");
    return;
  }
  if (is(request->path, "/slow")) usleep(500000);
  else if (!is(request->path, "/echo")) reply->status = 404;
  if (!is(request->method, "POST") && reply->status == 200) reply->status = 405;
  buffer_print(&reply->json, "{\"status\": %d, \"size\": %zu, \"type\": ", reply->status, request->size);
  buffer_quote(&reply->json, request->content_type);
  buffer_print(&reply->json, ", \"header_length\": ");
  buffer_quote(&reply->json, request->header_length);
  buffer_add(&reply->json, "}", 1);
  if (reply->status == 200) buffer_add(&reply->binary, request->body, request->size);
  trace->status = reply->status;
}

void serve_refusal(int status, const char *reason, struct Reply *reply, struct Trace *trace) {
  buffer_clear(&reply->json);
  buffer_clear(&reply->binary);
  begin(trace, status);
  reply->status = status;
  buffer_print(&reply->json, "{\"error\": \"%s\"}", reason);
}

/* Events: "slow", "large BYTES", or anything to get back, which is the profile as well. */
void serve_event(char *event, size_t size, struct Buffer *answer, struct Trace *trace) {
  size_t large = 0;
  char start[32] = "";
  memcpy(start, event, size < sizeof start - 1 ? size : sizeof start - 1);
  buffer_clear(answer);
  begin(trace, strcmp(start, "refused") ? 200 : 400);
  if (!strcmp(start, "slow")) usleep(500000);
  if (sscanf(start, "large %zu", &large) == 1) {
    char *place = buffer_reserve(answer, large);
    if (place) memset(place, 'x', large), buffer_took(answer, large);
    return;
  }
  buffer_add(answer, event, size);
  if (*start != '{') return;
  buffer_add(&trace->profile, event, size);
  buffer_add(&trace->correct, "[1,\n2]", 6);
}

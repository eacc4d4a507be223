/* Answers requests from standard input until it ends. A request is a line of its kind, method,
 * path, content type, header length, each - where there is none, and the size of the body,
 * which follows. An answer is a line of status and sizes, then the document, the bytes behind
 * it, and the profile and correctness that telemetry would tell. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "serve.h"

static struct Text word(const char *text) {
  return strcmp(text, "-") ? text_of(text) : (struct Text){NULL, 0};
}

static int answer(char words[5][256], char *body, size_t size) {
  static struct Reply reply;
  static struct Trace trace;
  if (!strcmp(words[0], "event")) {
    buffer_clear(&reply.binary);
    serve_event(body, size, &reply.json, &trace);
  } else {
    struct Request request = {.method = word(words[1]), .path = word(words[2]),
                              .content_type = word(words[3]), .header_length = word(words[4]),
                              .body = body, .size = size};
    serve_request(&request, &reply, &trace);
    if (reply.status != trace.status) return 1;
  }
  printf("%d %d %zu %zu %zu %zu\n", trace.status, trace.request, reply.json.size,
         reply.binary.size, trace.profile.size, trace.correct.size);
  const struct Buffer *parts[] = {&reply.json, &reply.binary, &trace.profile, &trace.correct};
  for (int i = 0; i < 4; ++i)
    if (parts[i]->size) fwrite(parts[i]->start, 1, parts[i]->size, stdout);
  return fflush(stdout);
}

int main(void) {
  char words[5][256];
  size_t size;
  if (engine_start()) return 2;
  while (scanf("%255s %255s %255s %255s %255s %zu", words[0], words[1], words[2], words[3],
               words[4], &size) == 6) {
    char *body = malloc(size ? size : 1); /* not one byte more, for the sanitizer's sake */
    if (!body || getchar() != '\n' || fread(body, 1, size, stdin) != size) return 3;
    int failed = answer(words, body, size);
    free(body);
    if (failed) return 4;
  }
  return 0;
}

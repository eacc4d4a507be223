/* The package's program: bootstrap for Lambda, a server elsewhere, or one answer and done. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "telemetry.h"
#include "transport.h"

enum { READ_BYTES = 64 << 10, USAGE = 2 };

static const char usage[] =
    "usage: bootstrap --port PORT       serve HTTP; without it, the variable PORT says where\n"
    "       bootstrap --once <event     answer one event on standard output\n"
    "       bootstrap                   serve Lambda, whose AWS_LAMBDA_RUNTIME_API is set\n";

static int fail(const char *what, const char *why) {
  fprintf(stderr, "suture: %s: %s\n", what, why);
  return EXIT_FAILURE;
}

static bool read_all(int file, struct Buffer *text) {
  for (;;) {
    char *place = buffer_reserve(text, READ_BYTES);
    ssize_t got = place ? read(file, place, READ_BYTES) : -1;
    if (got == 0) return true;
    if (got > 0) buffer_took(text, (size_t)got);
    else if (!place || errno != EINTR) return false;
  }
}

/* Answers the event on standard input. The status tells whether it was answered well. */
static int once(void) {
  static struct Buffer event = {.limit = MOST_BODY_BYTES + READ_BYTES}, answer;
  static struct Trace trace = {.profile.limit = MOST_PROFILE_BYTES,
                               .correct.limit = MOST_PROFILE_BYTES};
  if (!read_all(STDIN_FILENO, &event))
    return fail("the event cannot be read", event.failed ? "it is too large" : strerror(errno));
  if (engine_start()) return fail("the model cannot start", engine_error());
  serve_event(event.start, event.size, &answer, &trace);
  if (answer.failed) return fail("the event cannot be answered", strerror(ENOMEM));
  if (trace.request) telemetry_print(&trace, (struct Text){NULL, 0}, STDERR_FILENO);
  bool written = fwrite(answer.start, 1, answer.size, stdout) == answer.size;
  if (!written || putchar('\n') < 0 || fflush(stdout))
    return fail("the answer cannot be written", strerror(errno));
  return trace.status < 400 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv) {
  const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *port = getenv("PORT");
  if (argc == 2 && !strcmp(argv[1], "--once")) return once();
  if (argc == 3 && !strcmp(argv[1], "--port")) return server_run(argv[2]);
  if (argc == 1 && api && *api) return lambda_run(api);
  if (argc == 1 && port && *port) return server_run(port);
  fputs(usage, stderr);
  return USAGE;
}

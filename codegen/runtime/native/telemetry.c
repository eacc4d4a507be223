#define _GNU_SOURCE
#include "telemetry.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "json.h"
#include "served.h"

enum { TOTAL = 3 };
static const char *const stages[] = {"decode", "run", "encode", "total"};

/* The greatest resident memory. Not getrusage's: that counts what the parent held before exec. */
static unsigned long long peak_rss_bytes(void) {
  char status[4096];
  int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  ssize_t got = read(file, status, sizeof status - 1);
  if (file >= 0) close(file);
  status[got > 0 ? got : 0] = 0;
  const char *line = strstr(status, "VmHWM:");
  return line ? strtoull(line + 6, NULL, 10) * 1024 : 0;
}

/* A member of the request's profile, null where there is none. */
static void add_member(struct Buffer *line, const struct Buffer *profile, const char *name) {
  struct Json json = json_reader((struct Text){profile->start, profile->size});
  struct Text value = text_of("null"), key;
  if (!profile->failed && json_open(&json, '{'))
    while (json_key(&json, &key)) {
      struct Text one = json_skip(&json);
      if (json_is(key, name)) value = one;
    }
  buffer_print(line, "\"%s\": ", name);
  buffer_add(line, value.start, value.size);
  buffer_add(line, ", ", 2);
}

static void add_quoted(struct Buffer *line, const char *name, struct Text value) {
  buffer_print(line, "\"%s\": ", name);
  if (value.start) buffer_quote(line, value);
  else buffer_print(line, "null");
  buffer_add(line, ", ", 2);
}

/* What CloudWatch makes metrics of. */
static void add_directive(struct Buffer *line) {
  buffer_print(line, "{\"_aws\": {\"CloudWatchMetrics\": [{\"Dimensions\": "
                     "[[\"model\", \"plan\"]], \"Metrics\": [");
  for (size_t i = 0; i < sizeof stages / sizeof *stages; ++i)
    buffer_print(line, "{\"Name\": \"%s_us\", \"Unit\": \"Microseconds\"}, ", stages[i]);
  buffer_print(line, "{\"Name\": \"peak_rss_bytes\", \"Unit\": \"Bytes\"}], "
                     "\"Namespace\": \"suture\"}], \"Timestamp\": %lld}, ",
               (long long)date_ms());
}

/* A stage that the request did not reach has no time. */
static void add_stages(struct Buffer *line, const struct Trace *trace) {
  const int64_t ns[] = {trace->decode_ns, trace->run_ns, trace->encode_ns,
                         trace->decode_ns + trace->run_ns + trace->encode_ns};
  for (size_t i = 0; i < sizeof stages / sizeof *stages; ++i)
    if (ns[i] || i == TOTAL)
      buffer_print(line, "\"%s_us\": %lld, ", stages[i], (long long)(ns[i] + 500) / 1000);
}

static void write_line(struct Buffer *line, int file) {
  for (size_t i = 0; i < line->size; ++i) /* what a request brings may be spread over lines */
    if (line->start[i] == '\n' || line->start[i] == '\r') line->start[i] = ' ';
  buffer_add(line, "\n", 1);
  for (size_t written = 0; !line->failed && written < line->size;) {
    ssize_t got = write(file, line->start + written, line->size - written);
    if (got < 0 && errno != EINTR) return;
    if (got > 0) written += (size_t)got;
  }
}

void telemetry_print(const struct Trace *trace, struct Text request_id, int file) {
  static struct Buffer line;
  static bool warm;
  buffer_clear(&line);
  add_directive(&line);
  add_quoted(&line, "backend", text_of(served.backend));
  add_member(&line, &trace->profile, "bucket");
  buffer_print(&line, "\"cold\": %s, ", warm ? "false" : "true");
  if (trace->correct.size && !trace->correct.failed) {
    buffer_print(&line, "\"correct\": ");
    buffer_add(&line, trace->correct.start, trace->correct.size);
    buffer_add(&line, ", ", 2);
  }
  add_member(&line, &trace->profile, "features");
  add_quoted(&line, "model", text_of(served.name));
  add_quoted(&line, "plan", text_of(served.plan));
  add_quoted(&line, "plan_digest", text_of(served.plan_digest));
  add_member(&line, &trace->profile, "propensity");
  add_quoted(&line, "request_id", request_id);
  add_stages(&line, trace);
  buffer_print(&line, "\"peak_rss_bytes\": %llu, \"status\": %d}", peak_rss_bytes(), trace->status);
  write_line(&line, file);
  warm = true;
}

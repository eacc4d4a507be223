/* Lambda's Runtime API, version 2018-06-01: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. */
#define _GNU_SOURCE
#include "transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "engine.h"
#include "http.h"
#include "stop.h"
#include "telemetry.h"

#define RUNTIME "/2018-06-01/runtime/"

enum { MOST_NAME = 256, MOST_ID = 128, MOST_HEAD = 2048, MOST_ATTEMPTS = 3, MOST_DIGITS = 15 };
enum { PATIENCE_S = 10, LEAST_PATIENCE_MS = 1000, MOST_PATIENCE_MS = 900000, FOREVER = -1 };
enum { UNANSWERED = -1, STOPPED = -2 }; /* in place of an answer's status */

static struct {
  char authority[MOST_NAME], host[MOST_NAME], port[8], prefix[MOST_NAME];
  int socket; /* -1 where none is open */
  struct Message message;
} api = {.socket = -1, .message = {.response = true}};

static int fail(const char *what, const char *why) {
  fprintf(stderr, "suture: the Runtime API at %s%s %s: %s\n", api.authority, api.prefix, what, why);
  return EXIT_FAILURE;
}

static bool copy(char *place, size_t room, const char *start, const char *end) {
  if ((size_t)(end - start) >= room) return false;
  memcpy(place, start, (size_t)(end - start));
  place[end - start] = 0;
  return true;
}

static bool parse_address(const char *address) {
  const char *host = strncmp(address, "http://", 7) ? address : address + 7;
  const char *end = host + strcspn(host, "/ \r\n"), *last = end + strlen(end);
  if (*end && *end != '/') return false;
  bool bracket = *host == '[';
  const char *start = host + bracket, *stop = start + strcspn(start, bracket ? "]/" : ":/");
  const char *colon = stop + bracket;
  while (last > end && last[-1] == '/') --last;
  if (stop == start || colon > end || (colon < end && *colon != ':')) return false;
  strcpy(api.port, "80");
  return copy(api.authority, sizeof api.authority, host, end) &&
         copy(api.host, sizeof api.host, start, stop) &&
         copy(api.prefix, sizeof api.prefix, end, last) &&
         (colon == end || copy(api.port, sizeof api.port, colon + 1, end));
}

static void hang_up(void) {
  if (api.socket >= 0) close(api.socket);
  api.socket = -1;
}

/* NULL, or why there is no connection. */
static const char *dial(void) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  const struct timeval patience = {PATIENCE_S, 0};
  const int yes = 1;
  struct addrinfo *found;
  int status = getaddrinfo(api.host, api.port, &hints, &found), why = 0;
  api.message.at = api.message.bytes.size; /* nothing came over this connection yet */
  if (status) return gai_strerror(status);
  for (struct addrinfo *one = found; one && api.socket < 0; one = one->ai_next) {
    api.socket = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(api.socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(api.socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(api.socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(api.socket, one->ai_addr, one->ai_addrlen)) break;
    why = errno;
    hang_up();
  }
  freeaddrinfo(found);
  return api.socket < 0 ? strerror(why) : NULL;
}

static bool send_all(const struct Text *texts, int count) {
  size_t size = 0, written = 0;
  for (int i = 0; i < count; ++i) size += texts[i].size;
  while (written < size) {
    ssize_t got = http_write(api.socket, texts, count, written);
    if (got < 0) return false;
    written += (size_t)got;
  }
  return true;
}

/* Waits for an answer to begin. A signal ends only waiting that has no end. */
static int await(int patience_ms) {
  struct pollfd watched = {api.socket, POLLIN, 0};
  int ready;
  do ready = patience_ms == FOREVER ? stop_poll(&watched, 1, -1) : poll(&watched, 1, patience_ms);
  while (ready < 0 && errno == EINTR && !stop_asked());
  if (ready > 0) return 0;
  if (ready == 0) errno = ETIMEDOUT;
  return ready < 0 && patience_ms == FOREVER && stop_asked() ? STOPPED : UNANSWERED;
}

/* The status of an answer, or that of its refusal by http_parse. */
static int receive(void) {
  struct Message *message = &api.message;
  int status;
  while ((status = http_parse(message)) == HTTP_MORE) {
    ssize_t got = http_read(api.socket, message);
    if (got == 0 && http_ends(message)) break;
    if (got == 0) errno = ECONNRESET;
    if (got <= 0) return UNANSWERED;
  }
  if (status != HTTP_COMPLETE || !message->keep_alive) hang_up();
  return status > HTTP_MORE ? status : message->status;
}

/* Asks, and returns an answer's status, which may come before all is sent; asks anew where the
 * peer closes the connection, as it may between requests. The Runtime API takes an answer
 * once, however often it comes. */
static int exchange(const struct Text *texts, int count, int patience_ms) {
  for (int attempt = 0; attempt < MOST_ATTEMPTS; ++attempt) {
    int64_t began = now_ms();
    const char *why = api.socket < 0 ? dial() : NULL;
    if (why) {
      fail("cannot be reached", why);
      return UNANSWERED;
    }
    http_next(&api.message);
    int status = await(send_all(texts, count) ? patience_ms : 0);
    if (!status) status = receive();
    if (status != UNANSWERED) return status;
    hang_up();
    if (errno == ETIMEDOUT || errno == EAGAIN) break;
    if (now_ms() - began > 1000) attempt = 0;
  }
  fail("does not answer", strerror(errno));
  return UNANSWERED;
}

/* How long an answer may wait for being taken: to the deadline of its request. */
static int patience_ms(void) {
  struct Text deadline = http_header(&api.message, "lambda-runtime-deadline-ms");
  bool told = deadline.size && deadline.size <= MOST_DIGITS;
  int64_t left = told ? strtoll(deadline.start, NULL, 10) - date_ms() : 0;
  return left < LEAST_PATIENCE_MS   ? LEAST_PATIENCE_MS
         : left > MOST_PATIENCE_MS ? MOST_PATIENCE_MS
                                   : (int)left;
}

static int post(const char *route, const char *headers, const struct Buffer *body, int patience) {
  char head[MOST_HEAD];
  int size = snprintf(head, sizeof head,
                      "POST %s" RUNTIME "%s HTTP/1.1\r\nHost: %s\r\n"
                      "Content-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n",
                      api.prefix, route, api.authority, headers, body->size);
  struct Text texts[] = {{head, (size_t)size}, {body->start, body->size}};
  return exchange(texts, 2, patience);
}

static int post_error(const char *route, const char *type, const char *message, int patience) {
  static struct Buffer body;
  char header[MOST_HEAD / 4];
  buffer_clear(&body);
  buffer_print(&body, "{\"errorType\": \"%s\", \"errorMessage\": ", type);
  buffer_quote(&body, (struct Text){message, strlen(message)});
  buffer_print(&body, ", \"stackTrace\": []}");
  snprintf(header, sizeof header, "Lambda-Runtime-Function-Error-Type: %s\r\n", type);
  return post(route, header, &body, patience);
}

/* Posts an answer, or the error in its place; zero where the next event may come. */
static int hand_back(const char *id, const struct Buffer *answer, int status, int patience) {
  char route[MOST_ID + 32];
  snprintf(route, sizeof route, "invocation/%s/response", id);
  int posted = 413;
  const char *type = "Runtime.EventRefused", *why = "the event is too large, or no HTTP";
  if (status == 200 && !answer->failed) {
    posted = post(route, "", answer, patience);
    type = "Function.ResponseSizeTooLarge", why = "the answer is larger than Lambda takes";
  } else if (status == 200) {
    type = "Runtime.OutOfMemory", why = "there is no memory for the answer";
  }
  if (posted == 413) {
    snprintf(route, sizeof route, "invocation/%s/error", id);
    posted = post_error(route, type, why, patience);
  }
  if (posted == UNANSWERED) return EXIT_FAILURE;
  if (posted >= 500) return fail("takes no answer", "it has failed");
  if (posted >= 300) fail("takes no answer", "the request is not known to it");
  return 0;
}

/* Answers the event that was read; zero where the next one may come. */
static int answer_event(int status) {
  static struct Buffer answer;
  static struct Trace trace = {.profile.limit = MOST_PROFILE_BYTES,
                               .correct.limit = MOST_PROFILE_BYTES};
  char id[MOST_ID + 1];
  struct Message *message = &api.message;
  struct Text text = http_header(message, "lambda-runtime-aws-request-id");
  if (!text.size || !copy(id, sizeof id, text.start, text.start + text.size) ||
      id[strcspn(id, " \t/?#")])
    return fail("hands out no event", status == 200 ? "there is no request id" : "it has failed");
  int patience = patience_ms();
  trace.request = false;
  if (status == 200)
    serve_event(message->bytes.start + message->head, message->body, &answer, &trace);
  status = hand_back(id, &answer, status, patience);
  if (trace.request) telemetry_print(&trace, (struct Text){id, strlen(id)}, STDOUT_FILENO);
  return status;
}

int lambda_run(const char *address) {
  if (!parse_address(address)) {
    fprintf(stderr, "suture: AWS_LAMBDA_RUNTIME_API is no address: %.200s\n", address);
    return EXIT_FAILURE;
  }
  stop_prepare();
  if (engine_start()) {
    fprintf(stderr, "suture: the model cannot start: %s\n", engine_error());
    post_error("init/error", "Runtime.InitError", engine_error(), LEAST_PATIENCE_MS);
    return EXIT_FAILURE;
  }
  char head[MOST_HEAD];
  int size = snprintf(head, sizeof head,
                      "GET %s" RUNTIME "invocation/next HTTP/1.1\r\nHost: %s\r\n\r\n",
                      api.prefix, api.authority);
  const struct Text next = {head, (size_t)size};
  int failed = 0;
  while (!failed && !stop_asked()) {
    int status = exchange(&next, 1, FOREVER);
    if (status == STOPPED) break;
    failed = status == UNANSWERED ? EXIT_FAILURE : answer_event(status);
  }
  return failed;
}

/* Reads strictly: lines end with CRLF, headers are not folded, and what two readers could
 * understand in two ways is refused. */
#define _GNU_SOURCE
#include "http.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/uio.h>
#include <unistd.h>

#include "serve.h"

enum { READ_BYTES = 16 << 10, MOST_READ_BYTES = 1 << 20, MOST_TEXTS = 4 };
enum { BAD = 400, TOO_LARGE = 413, HEAD_TOO_LARGE = 431 };
enum { UNKNOWN_CODING = 501, UNKNOWN_VERSION = 505 };

static bool is_token(const char *start, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    char c = start[i], letter = c | 0x20;
    if ((letter < 'a' || letter > 'z') && (c < '0' || c > '9') &&
        (!c || !strchr("!#$%&'*+-.^_`|~", c)))
      return false;
  }
  return size > 0;
}

static struct Text trimmed(const char *start, const char *end) {
  while (start < end && (*start == ' ' || *start == '\t')) ++start;
  while (start < end && (end[-1] == ' ' || end[-1] == '\t')) --end;
  return (struct Text){start, (size_t)(end - start)};
}

/* Whether a word is among those of a list with commas. */
static bool lists(struct Text list, const char *word) {
  const char *start = list.start, *end = start + list.size;
  while (start < end) {
    const char *comma = memchr(start, ',', (size_t)(end - start));
    const char *stop = comma ? comma : end;
    if (text_is_any_case(trimmed(start, stop), word)) return true;
    start = stop + 1;
  }
  return false;
}

/* How often a header is there, and the first one's value. */
static int find(const struct Message *message, const char *name, struct Text *value) {
  const char *line = message->bytes.start, *end = line + message->head;
  int found = 0;
  *value = (struct Text){NULL, 0};
  if (!message->head) return 0;
  for (line = memchr(line, '\n', message->head); ++line < end - 2;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    const char *colon = memchr(line, ':', (size_t)(stop - line));
    if (text_is_any_case((struct Text){line, (size_t)(colon - line)}, name) && !found++)
      *value = trimmed(colon + 1, stop - 1);
    line = stop;
  }
  return found;
}

struct Text http_header(const struct Message *message, const char *name) {
  struct Text value;
  find(message, name, &value);
  return value;
}

static int take_line(struct Message *message, struct Text *line) {
  size_t size = message->bytes.size - message->at;
  size_t looked_at = size < MOST_LINE_BYTES ? size : MOST_LINE_BYTES;
  if (!size) return HTTP_MORE;
  const char *start = message->bytes.start + message->at, *end = memchr(start, '\n', looked_at);
  if (!end) return looked_at == MOST_LINE_BYTES ? HEAD_TOO_LARGE : HTTP_MORE;
  if (end == start || end[-1] != '\r') return BAD;
  for (const char *c = start; c < end - 1; ++c)
    if (((unsigned char)*c < ' ' && *c != '\t') || *c == 127) return BAD;
  *line = (struct Text){start, (size_t)(end - 1 - start)};
  message->at += line->size + 2;
  return 0;
}

/* "HTTP/1.1", of which 0 and 1 are known and later ones are read alike. */
static int version(struct Message *message, const char *start, size_t size) {
  if (size != 8 || memcmp(start, "HTTP/", 5) || start[6] != '.') return BAD;
  if (start[5] != '1' || start[7] < '0' || start[7] > '9') return UNKNOWN_VERSION;
  message->keep_alive = start[7] != '0';
  return 0;
}

static int status_line(struct Message *message, struct Text line) {
  if (line.size < 12 || line.start[8] != ' ' || (line.size > 12 && line.start[12] != ' '))
    return BAD;
  message->status = 0;
  for (int i = 9; i < 12; ++i) {
    if (line.start[i] < '0' || line.start[i] > '9') return BAD;
    message->status = message->status * 10 + line.start[i] - '0';
  }
  return version(message, line.start, 8);
}

/* The target is a path, or a URL with one; what is asked behind it does not matter here. */
static int request_line(struct Message *message, struct Text line) {
  const char *end = line.start + line.size;
  const char *path = memchr(line.start, ' ', line.size);
  if (!path || !is_token(line.start, (size_t)(path - line.start))) return BAD;
  message->method = (size_t)(path - line.start);
  ++path;
  const char *stop = memchr(path, ' ', (size_t)(end - path));
  if (!stop || stop == path || memchr(stop + 1, ' ', (size_t)(end - stop - 1))) return BAD;
  if ((size_t)(stop - path) > 7 && !strncasecmp(path, "http://", 7)) {
    const char *slash = memchr(path + 7, '/', (size_t)(stop - path - 7));
    path = slash ? slash : stop;
  } else if (*path != '/' && (*path != '*' || stop != path + 1)) {
    return BAD;
  }
  const char *query = memchr(path, '?', (size_t)(stop - path));
  message->path_at = (size_t)(path - line.start);
  message->path = (size_t)((query ? query : stop) - path);
  return version(message, stop + 1, (size_t)(end - stop - 1));
}

/* The length of a body or chunk. */
static int number(struct Text text, int base, size_t *value) {
  *value = 0;
  if (!text.size) return BAD;
  for (size_t i = 0; i < text.size; ++i) {
    int one = hex_digit(text.start[i]);
    if (one < 0 || one >= base) return BAD;
    if (*value <= MOST_BODY_BYTES) *value = *value * (size_t)base + (size_t)one;
  }
  return *value > MOST_BODY_BYTES ? TOO_LARGE : 0;
}

static int header(struct Message *message, struct Text line) {
  const char *colon = memchr(line.start, ':', line.size);
  if (++message->headers > MOST_HEADERS || message->at > MOST_HEAD_BYTES) return HEAD_TOO_LARGE;
  return colon && is_token(line.start, (size_t)(colon - line.start)) ? 0 : BAD;
}

static void drop(struct Message *message, size_t from, size_t to) {
  size_t behind = message->bytes.size - to;
  if (behind && from != to)
    memmove(message->bytes.start + from, message->bytes.start + to, behind);
  message->bytes.size = from + behind;
  message->at = from;
}

/* A body's length is told in one way only (RFC 9112, 6.3). */
static int end_of_head(struct Message *message) {
  struct Text length, coding, connection, expect;
  message->head = message->at;
  int lengths = find(message, "content-length", &length);
  int codings = find(message, "transfer-encoding", &coding);
  if (find(message, "connection", &connection))
    message->keep_alive = message->keep_alive ? !lists(connection, "close")
                                              : lists(connection, "keep-alive");
  if (lengths + codings > 1) return BAD;
  if (message->response && message->status < 200) { /* the final one follows */
    drop(message, 0, message->at);
    message->part = START;
    message->head = 0;
    message->headers = 0;
    return 0;
  }
  if (message->response && (message->status == 204 || message->status == 304)) {
    message->part = WHOLE;
  } else if (codings) {
    if (!text_is_any_case(coding, "chunked")) return UNKNOWN_CODING;
    message->part = CHUNK_SIZE;
  } else if (lengths) {
    int status = number(length, 10, &message->left);
    if (status) return status;
    message->part = message->left ? BODY : WHOLE;
  } else {
    message->part = message->response ? UNTIL_CLOSE : WHOLE;
  }
  message->waits = find(message, "expect", &expect) && text_is_any_case(expect, "100-continue");
  return 0;
}

static int chunk_size(struct Message *message, struct Text line) {
  const char *semicolon = memchr(line.start, ';', line.size);
  const char *end = semicolon ? semicolon : line.start + line.size;
  int status = number(trimmed(line.start, end), 16, &message->left);
  if (status) return status;
  if (message->left > MOST_BODY_BYTES - message->body) return TOO_LARGE;
  message->part = message->left ? CHUNK : TRAILERS;
  return 0;
}

/* Takes what is there of the body, to where the rest of it is. */
static int take(struct Message *message, enum Part after) {
  size_t there = message->bytes.size - message->at, end = message->head + message->body;
  size_t size = there < message->left ? there : message->left;
  if (message->at != end)
    memmove(message->bytes.start + end, message->bytes.start + message->at, size);
  message->at += size;
  message->body += size;
  message->left -= size;
  if (message->left) return HTTP_MORE;
  message->part = after;
  return 0;
}

static int take_all(struct Message *message) {
  message->at = message->bytes.size;
  message->body = message->at - message->head;
  return message->body > MOST_BODY_BYTES ? TOO_LARGE : HTTP_MORE;
}

static int step(struct Message *message) {
  struct Text line;
  int status;
  if (message->part == BODY) return take(message, WHOLE);
  if (message->part == CHUNK) return take(message, CHUNK_END);
  if (message->part == UNTIL_CLOSE) return take_all(message);
  if ((status = take_line(message, &line))) return status;
  switch (message->part) {
    case START:
      message->part = HEADERS;
      return message->response ? status_line(message, line) : request_line(message, line);
    case HEADERS: return line.size ? header(message, line) : end_of_head(message);
    case CHUNK_SIZE: return chunk_size(message, line);
    case CHUNK_END: message->part = CHUNK_SIZE; return line.size ? BAD : 0;
    default:
      if (!line.size) message->part = WHOLE;
      return ++message->headers > MOST_HEADERS ? HEAD_TOO_LARGE : 0;
  }
}

int http_parse(struct Message *message) {
  int status = 0;
  while (!status && message->part != WHOLE) status = step(message);
  if (status == HTTP_MORE && message->part >= CHUNK_SIZE && message->part <= TRAILERS)
    drop(message, message->head + message->body, message->at);
  return status;
}

bool http_ends(const struct Message *message) { return message->part == UNTIL_CLOSE; }

void http_next(struct Message *message) {
  if (message->at == message->bytes.size) buffer_clear(&message->bytes);
  else drop(message, 0, message->at);
  *message = (struct Message){.response = message->response, .bytes = message->bytes};
}

/* At most as much again as came so far: a length that is only claimed takes no memory. */
static size_t wanted(const struct Message *message) {
  size_t most = message->bytes.size > MOST_READ_BYTES ? message->bytes.size : MOST_READ_BYTES;
  size_t room = message->bytes.capacity - message->bytes.size;
  if (message->part == BODY) return message->left < most ? message->left : most;
  if (message->part == CHUNK && message->left > READ_BYTES && message->left > room)
    return message->left < most ? message->left : most;
  return room > READ_BYTES ? room : READ_BYTES;
}

ssize_t http_read(int socket, struct Message *message) {
  size_t size = wanted(message);
  char *place = buffer_reserve(&message->bytes, size);
  ssize_t got;
  if (!place) {
    errno = ENOMEM;
    return -1;
  }
  do got = read(socket, place, size);
  while (got < 0 && errno == EINTR);
  if (got > 0) buffer_took(&message->bytes, (size_t)got);
  return got;
}

ssize_t http_write(int socket, const struct Text *texts, int count, size_t written) {
  struct iovec parts[MOST_TEXTS];
  int used = 0;
  ssize_t got;
  for (int i = 0; i < count; ++i) {
    size_t skipped = written < texts[i].size ? written : texts[i].size;
    written -= skipped;
    if (skipped < texts[i].size)
      parts[used++] = (struct iovec){(char *)texts[i].start + skipped, texts[i].size - skipped};
  }
  do got = writev(socket, parts, used);
  while (got < 0 && errno == EINTR);
  return got;
}

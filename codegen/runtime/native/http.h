/* HTTP/1.1 (RFC 9112): one reader for requests and responses, over bytes as they come in. */
#pragma once

#include <sys/types.h>

#include "text.h"

enum { MOST_HEAD_BYTES = 32 << 10, MOST_LINE_BYTES = 8 << 10, MOST_HEADERS = 100 };

/* What a step of reading says; anything else is the status to refuse the message with. */
enum { HTTP_COMPLETE, HTTP_MORE };

enum Part { START, HEADERS, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILERS, UNTIL_CLOSE, WHOLE };

/* A message being read. All zero but for response, it is ready for the first one. */
struct Message {
  bool response;       /* these are read, not requests */
  struct Buffer bytes; /* start line, headers, body; behind it, what follows */
  enum Part part;      /* which comes next */
  size_t at;           /* bytes understood so far */
  size_t head, body;   /* bytes of start line and headers, and of the body behind them */
  size_t left;         /* of the body or chunk */
  size_t method, path_at, path; /* bytes and places in the start line of a request */
  int status;                   /* of a response */
  int headers;
  bool keep_alive;
  bool waits; /* for word that its body is welcome: Expect: 100-continue */
};

/* Reads on in what came in so far. */
int http_parse(struct Message *message);
/* Of a message that is not complete when its peer closes: whether that is its end. */
bool http_ends(const struct Message *message);
/* Forgets a message, so that the next one is read from what follows it. */
void http_next(struct Message *message);
/* A header's value, where the head was read; none where it is not there. The name is in
 * lower case. */
struct Text http_header(const struct Message *message, const char *name);

/* Reads once from a socket: bytes read, 0 where the peer closed, or -1 and errno. */
ssize_t http_read(int socket, struct Message *message);
/* Writes once what is left of some texts after so many bytes: bytes written, or -1 and errno. */
ssize_t http_write(int socket, const struct Text *texts, int count, size_t written);

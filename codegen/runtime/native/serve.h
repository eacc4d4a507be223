/* From a request to its answer, whatever brought it: Lambda's Runtime API, HTTP or a file. */
#pragma once

#include <stdint.h>

#include "text.h"

enum { MOST_BODY_BYTES = 64 << 20 };

/* An HTTP request as the transport read it. The body may be changed in place. */
struct Request {
  struct Text method, path;
  struct Text content_type;  /* none where the header is not there */
  struct Text header_length; /* inference-header-content-length */
  char *body;
  size_t size;
  bool direct; /* nothing goes beside the document: it holds the status, and binary tensors as
                * base64 */
};

/* Buffers are cleared and filled by serve_*, and owned by the caller. */
struct Reply {
  int status;
  struct Buffer json;   /* the document */
  struct Buffer binary; /* tensors behind the document; empty where it is all */
};

/* What telemetry tells of a request. */
struct Trace {
  bool request; /* false for a page of status, which is not told of */
  int status;
  int64_t decode_ns, run_ns, encode_ns;
  struct Buffer profile; /* JSON of parameters.profile; empty where it is not there */
  struct Buffer correct; /* JSON of parameters.correct */
};

/* Answers a request of the Open Inference Protocol: health, metadata and inference. */
void serve_request(const struct Request *request, struct Reply *reply, struct Trace *trace);

/* Answers a request that is none, such as one that is too long to be read. */
void serve_refusal(int status, const char *reason, struct Reply *reply, struct Trace *trace);

/* Answers what Lambda hands a function: an event of a function URL or API Gateway (payload
 * 2.0), or the request's document itself. Writes the JSON to hand back. The event is changed
 * in place. */
void serve_event(char *event, size_t size, struct Buffer *answer, struct Trace *trace);

/* What Lambda hands a function: HTTP events, or a request's document itself. */
#include "base64.h"
#include "json.h"
#include "serve.h"

enum { CONTEXT, HEADERS, BODY, PATH, ENCODED, DOCUMENT, IMAGE, EVENT_MEMBERS };

static const char *const event_names[] = {"requestContext",  "headers", "body",  "rawPath",
                                          "isBase64Encoded", "inputs",  "image", NULL};

/* Reads the members of an event up to one that only a document has; false where it is one. */
static bool is_http(struct Text event, struct Text *values, struct Text *http) {
  static const char *const names[] = {"http", NULL};
  struct Json json = json_reader(event);
  unsigned seen = 0;
  if (!json_open(&json, '{')) return false;
  for (int i; (i = json_member(&json, event_names, &seen)) >= 0;) {
    if (i == DOCUMENT || i == IMAGE) return false;
    values[i] = json_skip(&json);
  }
  return json_done(&json) && json_members(values[CONTEXT], names, http) && http->start;
}

static bool read_headers(struct Text value, struct Request *request) {
  struct Json json = json_reader(value);
  if (!value.start || *value.start == 'n') return true;
  if (!json_open(&json, '{')) return false;
  for (struct Text key; json_key(&json, &key);) {
    struct Text header = json_inside(json_skip(&json));
    if (text_is_any_case(key, "content-type")) request->content_type = json_decode(header);
    if (text_is_any_case(key, "inference-header-content-length"))
      request->header_length = json_decode(header);
  }
  return true;
}

/* Turns an event of HTTP into its request; returns what is wrong with it, or NULL. */
static const char *read_http(struct Text http, const struct Text *values, struct Request *request) {
  static const char *const names[] = {"method", NULL};
  struct Text method, body = values[BODY], path = json_inside(values[PATH]);
  if (!json_members(http, names, &method))
    return "requestContext.http of the event is not an object";
  if (!read_headers(values[HEADERS], request)) return "headers of the event is not an object";
  request->method = method.start ? json_decode(json_inside(method)) : text_of("POST");
  request->path = path.size ? json_decode(path) : text_of("/");
  if (!body.start || *body.start == 'n') return NULL;
  body = json_inside(body);
  if (!body.start) return "body of the event is not a string";
  body = json_decode(body);
  request->body = (char *)body.start;
  request->size = body.size;
  if (!values[ENCODED].start || *values[ENCODED].start != 't') return NULL;
  ptrdiff_t size = base64_size(body);
  if (size < 0 || !base64_decode(body, request->body)) return "the body is not base64";
  request->size = (size_t)size;
  return NULL;
}

static void write_http(struct Reply *reply, struct Buffer *answer) {
  const size_t head = reply->json.size;
  buffer_print(answer, "{\"statusCode\": %d, \"headers\": {\"content-type\": ", reply->status);
  if (!reply->binary.size) {
    buffer_print(answer, "\"application/json\"}, \"body\": ");
    buffer_quote(answer, (struct Text){reply->json.start, head});
  } else {
    buffer_print(answer,
                 "\"application/octet-stream\", \"inference-header-content-length\": \"%zu\"}, "
                 "\"isBase64Encoded\": true, \"body\": \"",
                 head);
    buffer_add(&reply->json, reply->binary.start, reply->binary.size);
    base64_encode(answer, reply->json.start, reply->json.size);
    buffer_print(answer, "\"");
  }
  buffer_print(answer, "}");
}

void serve_event(char *event, size_t size, struct Buffer *answer, struct Trace *trace) {
  static struct Reply reply;
  struct Request request = {
      .method = text_of("POST"), .path = text_of("/"), .body = event, .size = size, .direct = true};
  struct Text values[EVENT_MEMBERS] = {{NULL, 0}}, http;
  const char *wrong = NULL;
  buffer_clear(answer);
  if (is_http((struct Text){event, size}, values, &http)) {
    request.direct = false;
    request.size = 0;
    wrong = read_http(http, values, &request);
  }
  if (wrong) serve_refusal(400, wrong, &reply, trace);
  else serve_request(&request, &reply, trace);
  if (request.direct) buffer_add(answer, reply.json.start, reply.json.size);
  else write_http(&reply, answer);
}

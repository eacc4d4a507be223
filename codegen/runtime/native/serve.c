/* Routes, and the way from a request to its answer. */
#define _POSIX_C_SOURCE 200112L
#include "serve.h"

#include <string.h>

#include "clock.h"
#include "data.h"
#include "engine.h"
#include "numbers.h"
#include "protocol.h"

enum Route { INFER, READY, SERVER, MODEL, NOWHERE };

/* Takes a word from the front of a text that begins with it. */
static bool take(struct Text *text, const char *word) {
  size_t size = strlen(word);
  if (text->size < size || memcmp(text->start, word, size)) return false;
  text->start += size;
  text->size -= size;
  return true;
}

static enum Route find_route(struct Text path) {
  if (text_is(path, "/")) return INFER;
  if (text_is(path, "/v2/health/live") || text_is(path, "/v2/health/ready")) return READY;
  if (text_is(path, "/v2")) return SERVER;
  if (!take(&path, "/v2/models/") || !take(&path, served.name)) return NOWHERE;
  if (!path.size) return MODEL;
  if (text_is(path, "/ready")) return READY;
  if (take(&path, "/versions/") && !take(&path, served.version)) return NOWHERE;
  return text_is(path, "/infer") ? INFER : NOWHERE;
}

static void print_ports(struct Buffer *json, const struct Port *ports, int count) {
  for (int i = 0; i < count; ++i) {
    buffer_print(json, i ? ", {\"name\": " : "{\"name\": ");
    buffer_quote(json, text_of(ports[i].name));
    buffer_print(json, ", \"datatype\": \"%s\", \"shape\": ", datatype_name(ports[i].datatype));
    shape_print(json, ports[i].shape, ports[i].rank);
    buffer_print(json, "}");
  }
}

static void print_model(struct Buffer *json) {
  buffer_print(json, "{\"name\": ");
  buffer_quote(json, text_of(served.name));
  buffer_print(json, ", \"versions\": [");
  buffer_quote(json, text_of(served.version));
  buffer_print(json, "], \"platform\": \"suture\", \"inputs\": [");
  print_ports(json, served.inputs, served.num_inputs);
  buffer_print(json, "], \"outputs\": [");
  print_ports(json, served.outputs, served.num_outputs);
  buffer_print(json, "]}");
}

static bool decode(const struct Request *request, struct Asked *asked, struct Refusal *refusal) {
  struct Text type = request->content_type, body = {request->body, request->size};
  if (type.start && take(&type, "image/")) {
    *asked = (struct Asked){0};
    return protocol_read_image(body, asked, refusal);
  }
  return protocol_read(body, request->header_length, asked, refusal);
}

static void infer(const struct Request *request, struct Reply *reply, struct Trace *trace,
                  struct Refusal *refusal) {
  static struct Asked asked;
  static struct Tensor outputs[MOST_PORTS];
  int64_t start = now_ns();
  if (!decode(request, &asked, refusal)) return;
  int64_t decoded = now_ns();
  trace->decode_ns = decoded - start;
  buffer_add(&trace->profile, asked.profile.start, asked.profile.size);
  buffer_add(&trace->correct, asked.correct.start, asked.correct.size);
  switch (engine_run(asked.inputs, outputs)) {
    case DONE: break;
    case NO_PROGRAM: protocol_refuse_shapes(&asked, refusal); return;
    case FAILED: refuse(refusal, 500, "%s", engine_error()); return;
  }
  int64_t ran = now_ns();
  trace->run_ns = ran - decoded;
  protocol_write(&asked, outputs, !request->direct, &reply->json, &reply->binary);
  trace->encode_ns = now_ns() - ran;
  if (reply->json.failed || reply->binary.failed)
    refuse(refusal, 500, "no memory for the answer");
}

static void clear(struct Reply *reply, struct Trace *trace) {
  buffer_clear(&reply->json);
  buffer_clear(&reply->binary);
  buffer_clear(&trace->profile);
  buffer_clear(&trace->correct);
  trace->decode_ns = trace->run_ns = trace->encode_ns = 0;
}

static void write_refusal(int status, struct Text reason, bool direct, struct Reply *reply) {
  buffer_clear(&reply->json);
  buffer_clear(&reply->binary);
  buffer_print(&reply->json, "{\"error\": ");
  buffer_quote(&reply->json, reason);
  if (direct) buffer_print(&reply->json, ", \"status\": %d", status);
  buffer_print(&reply->json, "}");
}

void serve_refusal(int status, const char *reason, struct Reply *reply, struct Trace *trace) {
  clear(reply, trace);
  write_refusal(status, text_of(reason), false, reply);
  trace->request = true;
  trace->status = reply->status = status;
}

void serve_request(const struct Request *request, struct Reply *reply, struct Trace *trace) {
  static struct Refusal refusal;
  const struct Text path = request->path;
  const int cited = path.size > MOST_CITED ? MOST_CITED : (int)path.size;
  enum Route route = find_route(path);
  clear(reply, trace);
  refusal.status = 0;
  switch (route) {
    case READY: buffer_print(&reply->json, "{\"ready\": true}"); break;
    case MODEL: print_model(&reply->json); break;
    case SERVER:
      buffer_print(&reply->json,
                   "{\"name\": \"suture\", \"extensions\": [\"binary_tensor_data\"]}");
      break;
    case NOWHERE: refuse(&refusal, 404, "no route %.*s", cited, path.start); break;
    case INFER:
      if (text_is(request->method, "POST")) infer(request, reply, trace, &refusal);
      else refuse(&refusal, 405, "%.*s takes POST", cited, path.start);
  }
  const struct Text reason = {refusal.message.start, refusal.message.size};
  if (refusal.status) write_refusal(refusal.status, reason, request->direct, reply);
  trace->request = route == INFER || refusal.status;
  trace->status = reply->status = refusal.status ? refusal.status : 200;
}

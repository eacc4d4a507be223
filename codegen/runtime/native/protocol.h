/* The Open Inference Protocol v2 (REST, with the binary tensor data extension): requests to
 * tensors, tensors to answers. One addition: "data" may be a string, the base64 of the bytes. */
#pragma once

#include "engine.h"
#include "text.h"

enum { MOST_CITED = 100 }; /* bytes of a request's own text in a message */

/* Why a request is not answered; the status is 0 where it is. */
struct Refusal {
  int status;
  struct Buffer message;
};

/* What a request asks for. */
struct Asked {
  struct Tensor inputs[MOST_PORTS];
  bool given[MOST_PORTS];
  int outputs[MOST_PORTS], num_outputs; /* in the order to answer them */
  bool binary[MOST_PORTS];              /* of outputs */
  struct Text id, profile, correct;     /* JSON */
};

/* Sets a status and the reason. Always false. */
bool refuse(struct Refusal *refusal, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads a document and the bytes behind it, which start at header_length where there is one;
 * false with a refusal. Strings of the body are decoded in their places. */
bool protocol_read(struct Text body, struct Text header_length, struct Asked *asked,
                   struct Refusal *refusal);
/* The same of the file of an image. */
bool protocol_read_image(struct Text file, struct Asked *asked, struct Refusal *refusal);
/* Tells which shapes there are programs for. */
void protocol_refuse_shapes(const struct Asked *asked, struct Refusal *refusal);
/* Writes the answer. Binary outputs go behind the document if raw, otherwise into it, as base64. */
void protocol_write(const struct Asked *asked, const struct Tensor *outputs, bool raw,
                    struct Buffer *json, struct Buffer *binary);

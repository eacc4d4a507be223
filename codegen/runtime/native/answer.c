/* Tensors to answers. */
#include "base64.h"
#include "data.h"
#include "numbers.h"
#include "protocol.h"

static void write_output(int output, const struct Tensor *tensor, struct Buffer *json) {
  const struct Port *port = &served.outputs[output];
  buffer_print(json, "{\"name\": ");
  buffer_quote(json, text_of(port->name));
  buffer_print(json, ", \"datatype\": \"%s\", \"shape\": ", datatype_name(port->datatype));
  shape_print(json, tensor->shape, tensor->rank);
}

void protocol_write(const struct Asked *asked, const struct Tensor *outputs, bool raw,
                    struct Buffer *json, struct Buffer *binary) {
  buffer_print(json, "{\"model_name\": ");
  buffer_quote(json, text_of(served.name));
  buffer_print(json, ", \"model_version\": ");
  buffer_quote(json, text_of(served.version));
  if (asked->id.start) {
    buffer_print(json, ", \"id\": ");
    buffer_add(json, asked->id.start, asked->id.size);
  }
  buffer_print(json, ", \"outputs\": [");
  for (int i = 0; i < asked->num_outputs; ++i) {
    int output = asked->outputs[i];
    const struct Tensor *tensor = &outputs[output];
    if (i) buffer_print(json, ", ");
    write_output(output, tensor, json);
    if (asked->binary[output] && raw) {
      buffer_print(json, ", \"parameters\": {\"binary_data_size\": %zu}}", tensor->bytes);
      buffer_add(binary, tensor->data, tensor->bytes);
    } else if (asked->binary[output]) {
      buffer_print(json, ", \"data\": \"");
      base64_encode(json, tensor->data, tensor->bytes);
      buffer_print(json, "\"}");
    } else {
      buffer_print(json, ", \"data\": ");
      data_print(json, served.outputs[output].datatype, tensor);
      buffer_print(json, "}");
    }
  }
  buffer_print(json, "]}");
}

static void write_sizes(struct Buffer *message, int input, const int64_t *shape) {
  buffer_print(message, input ? ", %s " : "%s ", served.inputs[input].name);
  shape_print(message, shape, served.inputs[input].rank);
}

void protocol_refuse_shapes(const struct Asked *asked, struct Refusal *refusal) {
  struct Buffer *message = &refusal->message;
  refuse(refusal, 400, "there is no program for ");
  for (int i = 0; i < served.num_inputs; ++i) write_sizes(message, i, asked->inputs[i].shape);
  for (int program = 0; program < served.num_programs; ++program) {
    buffer_print(message, program ? "; " : "; this model takes ");
    for (int i = 0; i < served.num_inputs; ++i)
      write_sizes(message, i, served.programs[program].inputs[i]);
  }
}

/* Requests to what they ask for. */
#include "protocol.h"

#include <string.h>

#include "base64.h"
#include "image.h"
#include "inputs.h"
#include "numbers.h"
#include "serve.h"

enum { INPUTS, OUTPUTS, PARAMETERS, ID, IMAGE, DOCUMENT_MEMBERS };

static const char *const document_names[] = {"inputs", "outputs", "parameters",
                                             "id",     "image",   NULL};

bool refuse(struct Refusal *refusal, int status, const char *format, ...) {
  va_list list;
  refusal->status = status;
  buffer_clear(&refusal->message);
  va_start(list, format);
  buffer_print_list(&refusal->message, format, list);
  va_end(list);
  return false;
}

int cited(struct Text text) { return text.size > MOST_CITED ? MOST_CITED : (int)text.size; }

bool is_null(struct Text value) { return !value.start || *value.start == 'n'; }

int find_port(struct Text name, const struct Port *ports, int count) {
  for (int i = 0; i < count; ++i)
    if (json_is(json_inside(name), ports[i].name)) return i;
  return -1;
}

bool refuse_name(struct Refusal *refusal, const char *kind, struct Text name,
                 const struct Port *ports, int count) {
  refuse(refusal, 400, "unknown %s %.*s; the model has ", kind, cited(name),
         name.start ? name.start : "");
  for (int i = 0; i < count; ++i)
    buffer_print(&refusal->message, i ? ", %s" : "%s", ports[i].name);
  return false;
}

bool refuse_parameters(struct Refusal *refusal, const char *kind, const char *name) {
  return refuse(refusal, 400, "\"parameters\" of %s %s is not an object", kind, name);
}

static bool is_true(struct Text value) { return value.start && *value.start == 't'; }

/* Reads the document; inputs where they are met, and the text of everything else. */
static void read_document(struct Reader *reader, struct Text *values) {
  struct Json *json = &reader->json;
  const char *start = json->at;
  unsigned seen = 0;
  if (!json_open(json, '{')) json_skip(json);
  else
    for (int i; (i = json_member(json, document_names, &seen)) >= 0;)
      if (i == INPUTS && json_open(json, '[')) {
        values[i] = text_of("[]");
        inputs_read(reader);
      } else values[i] = json_skip(json);
  if (!json_done(json))
    refuse(reader->refusal, 400, "the body is not JSON: at byte %td, %s", json->at - start,
           json->error);
}

static void all_outputs(struct Asked *asked) {
  asked->num_outputs = served.num_outputs;
  for (int i = 0; i < served.num_outputs; ++i) asked->outputs[i] = i;
}

/* Reads which outputs are wanted, and which of them as bytes. */
static void read_outputs(struct Text value, struct Asked *asked, struct Refusal *refusal) {
  static const char *const names[] = {"name", "parameters", NULL}, *const options[] = {
                                                                       "binary_data", NULL};
  struct Json json = json_reader(value);
  struct Text values[2], choice;
  bool seen[MOST_PORTS] = {false};
  if (is_null(value)) {
    all_outputs(asked);
    return;
  }
  if (!json_open(&json, '[')) refuse(refusal, 400, "\"outputs\" is not a list");
  while (!refusal->status && json_item(&json)) {
    bool named = json_members(json_skip(&json), names, values);
    int output = named ? find_port(values[0], served.outputs, served.num_outputs) : -1;
    if (output < 0) {
      refuse_name(refusal, "output", named ? values[0] : text_of(""), served.outputs,
                  served.num_outputs);
      return;
    }
    const char *name = served.outputs[output].name;
    if (seen[output]) refuse(refusal, 400, "output '%s' is there twice", name);
    else if (!json_members(values[1], options, &choice) && !is_null(values[1]))
      refuse_parameters(refusal, "output", name);
    seen[output] = true;
    if (is_true(choice)) asked->binary[output] = true;
    else if (choice.start && *choice.start == 'f') asked->binary[output] = false;
    if (!refusal->status) asked->outputs[asked->num_outputs++] = output;
  }
}

/* Reads what is asked of all of a request. */
static void read_parameters(struct Text value, struct Asked *asked) {
  static const char *const names[] = {"profile", "correct", "binary_data_output", NULL};
  struct Text values[3];
  json_members(value, names, values);
  if (values[0].start && *values[0].start == '{') asked->profile = values[0];
  asked->correct = values[1];
  for (int i = 0; i < served.num_outputs; ++i) asked->binary[i] = is_true(values[2]);
}

bool protocol_read_image(struct Text file, struct Asked *asked, struct Refusal *refusal) {
  static struct Buffer pixels;
  const int input = served.image_input;
  *asked = (struct Asked){.profile = asked->profile, .correct = asked->correct};
  if (input < 0) return refuse(refusal, 415, "this model takes tensors, not images");
  struct Tensor *tensor = &asked->inputs[input];
  *tensor = (struct Tensor){.rank = served.image_channels == 1 ? 2 : 3};
  tensor->shape[2] = served.image_channels;
  switch (
      image_decode(file, served.image_channels, &pixels, &tensor->shape[0], &tensor->shape[1])) {
    case IMAGE_DONE: break;
    case IMAGE_BROKEN: return refuse(refusal, 400, "not a readable image");
    case IMAGE_TOO_LARGE:
      return refuse(refusal, 413, "the image has more than %d pixels", IMAGE_MOST_PIXELS);
    case IMAGE_NO_MEMORY: return refuse(refusal, 500, "no memory for the image");
  }
  if (!inputs_place(input, asked, refusal)) return false;
  memcpy(tensor->data, pixels.start, tensor->bytes);
  all_outputs(asked);
  return true;
}

static bool read_image_text(struct Text value, struct Asked *asked, struct Refusal *refusal) {
  struct Text text = json_decode(json_inside(value));
  ptrdiff_t size = text.start ? base64_size(text) : -1;
  if (size < 0 || !base64_decode(text, (char *)text.start))
    return refuse(refusal, 400, "the image is not base64");
  return protocol_read_image((struct Text){text.start, (size_t)size}, asked, refusal);
}

/* Cuts a body where its document ends. */
static bool split(struct Text *body, struct Text length, struct Text *rest) {
  struct Number number;
  uint64_t size = body->size;
  if (length.start) {
    const char *end = length.start + length.size;
    if (length.size > 18 || number_read(length.start, end, &number) != end || !number.whole ||
        number.negative)
      return false;
    size = number.digits;
  }
  if (size > body->size) return false;
  *rest = (struct Text){body->start + size, body->size - size};
  body->size = size;
  return true;
}

bool protocol_read(struct Text body, struct Text header_length, struct Asked *asked,
                   struct Refusal *refusal) {
  struct Reader reader = {.asked = asked, .refusal = refusal};
  struct Text values[DOCUMENT_MEMBERS] = {{NULL, 0}};
  *asked = (struct Asked){0};
  if (!body.start) body = text_of("");
  if (body.size > MOST_BODY_BYTES)
    return refuse(refusal, 413, "the body has more than %d bytes", MOST_BODY_BYTES);
  if (!split(&body, header_length, &reader.rest))
    return refuse(refusal, 400,
                  "inference-header-content-length is %.*s and the body has %zu bytes",
                  cited(header_length), header_length.start, body.size);
  reader.json = json_reader(body);
  read_document(&reader, values);
  if (refusal->status) return false;
  bool object = values[PARAMETERS].start && *values[PARAMETERS].start == '{';
  if (object) read_parameters(values[PARAMETERS], asked);
  if (!values[INPUTS].start && values[IMAGE].start)
    return read_image_text(values[IMAGE], asked, refusal);
  if (!values[INPUTS].start || *values[INPUTS].start != '[')
    refuse(refusal, 400, "the request has no list \"inputs\"");
  else if (!object && !is_null(values[PARAMETERS])) refuse_parameters(refusal, "the", "request");
  else inputs_check(&reader);
  if (!refusal->status) read_outputs(values[OUTPUTS], asked, refusal);
  if (!is_null(values[ID])) asked->id = values[ID];
  return !refusal->status;
}

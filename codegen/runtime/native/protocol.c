/* Requests to tensors. */
#include "protocol.h"

#include <string.h>

#include "base64.h"
#include "data.h"
#include "image.h"
#include "numbers.h"
#include "serve.h"

enum { INPUTS, OUTPUTS, PARAMETERS, ID, IMAGE, DOCUMENT_MEMBERS };
enum { NAME, DATATYPE, SHAPE, DATA, OPTIONS, ENTRY_MEMBERS };

static const char* const document_names[] = {"inputs", "outputs", "parameters",
                                             "id",     "image",   NULL};
static const char* const entry_names[] = {"name", "datatype", "shape", "data", "parameters", NULL};

struct Reader {
  struct Json json;
  struct Text rest; /* binary tensors that no input has taken yet */
  struct Asked* asked;
  struct Refusal* refusal;
};

/* An entry of "inputs". */
struct Entry {
  struct Text values[ENTRY_MEMBERS];
  int input; /* -1 before it is known */
  bool read; /* its data is in place */
};

struct Buffer* refuse(struct Refusal* refusal, int status) {
  refusal->status = status;
  buffer_clear(&refusal->message);
  return &refusal->message;
}

/* As much of a text as a message shows. */
static int cited(struct Text text) { return text.size > MOST_CITED ? MOST_CITED : (int)text.size; }

static bool is_null(struct Text value) { return !value.start || *value.start == 'n'; }
static bool is_true(struct Text value) { return value.start && *value.start == 't'; }

static int find_port(struct Text name, const struct Port* ports, int count) {
  for (int i = 0; i < count; ++i)
    if (json_is(json_inside(name), ports[i].name)) return i;
  return -1;
}

static void refuse_name(struct Refusal* refusal, const char* kind, struct Text name,
                        const struct Port* ports, int count) {
  struct Buffer* message = refuse(refusal, 400);
  buffer_print(message, "unknown %s %.*s; the model has ", kind, cited(name),
               name.start ? name.start : "");
  for (int i = 0; i < count; ++i) buffer_print(message, i ? ", %s" : "%s", ports[i].name);
}

static void refuse_parameters(struct Refusal* refusal, const char* kind, const char* name) {
  buffer_print(refuse(refusal, 400), "\"parameters\" of %s %s is not an object", kind, name);
}

/* Reads a list of sizes; false where a value is none. */
static bool read_shape(struct Text value, struct Tensor* tensor) {
  struct Json json = json_reader(value);
  struct Number number;
  if (!value.start || !json_open(&json, '[')) return false;
  for (tensor->rank = 0; json_item(&json); ++tensor->rank) {
    struct Text size = json_skip(&json);
    const char* behind = number_read(size.start, size.start + size.size, &number);
    if (tensor->rank == MOST_RANK || !behind || !number.whole) return false;
    int64_t* place = &tensor->shape[tensor->rank];
    if (!number_store(&number, INT64, place)) *place = number.negative ? -1 : INT64_MAX;
    if (*place < 0) return false;
  }
  return true;
}

static bool takes(const struct Port* port, const struct Tensor* tensor) {
  bool fits = port->rank == tensor->rank;
  for (int i = 0; fits && i < port->rank; ++i)
    fits = port->shape[i] == -1 || port->shape[i] == tensor->shape[i];
  return fits;
}

/* Finds the place of an input whose shape is known. */
static bool place_input(int input, struct Asked* asked, struct Refusal* refusal) {
  const struct Port* port = &served.inputs[input];
  struct Tensor* tensor = &asked->inputs[input];
  if (!takes(port, tensor)) {
    struct Buffer* message = refuse(refusal, 400);
    buffer_print(message, "input '%s' has shape ", port->name);
    shape_print(message, tensor->shape, tensor->rank);
    buffer_print(message, ", this model takes ");
    shape_print(message, port->shape, port->rank);
    return false;
  }
  int64_t count = data_count(tensor->shape, tensor->rank, port->datatype);
  tensor->bytes = (size_t)count * datatype_size(port->datatype);
  if (count < 0)
    buffer_print(refuse(refusal, 413), "input '%s' is larger than %d bytes", port->name,
                 MOST_BODY_BYTES);
  else if (!(tensor->data = engine_input(input, tensor->bytes)))
    buffer_print(refuse(refusal, 500), "no memory for input '%s'", port->name);
  return asked->given[input] = !refusal->status;
}

/* Finds out which input an entry is, and its place. */
static bool identify(struct Reader* reader, struct Entry* entry) {
  const struct Text name = entry->values[NAME], datatype = entry->values[DATATYPE];
  if (!json_inside(name).start) {
    buffer_print(refuse(reader->refusal, 400), "an entry of \"inputs\" has no name");
    return false;
  }
  int input = find_port(name, served.inputs, served.num_inputs);
  if (input < 0) {
    refuse_name(reader->refusal, "input", name, served.inputs, served.num_inputs);
    return false;
  }
  const struct Port* port = &served.inputs[input];
  const char* takes = datatype_name(port->datatype);
  if (reader->asked->given[input])
    buffer_print(refuse(reader->refusal, 400), "input '%s' is there twice", port->name);
  else if (!json_is(json_inside(datatype), takes))
    buffer_print(refuse(reader->refusal, 400), "input '%s' has datatype %.*s, this model takes %s",
                 port->name, cited(datatype), datatype.start ? datatype.start : "", takes);
  else if (!read_shape(entry->values[SHAPE], &reader->asked->inputs[input]))
    buffer_print(refuse(reader->refusal, 400), "input '%s' has no shape that is a list of sizes",
                 port->name);
  else if (place_input(input, reader->asked, reader->refusal)) entry->input = input;
  return !reader->refusal->status;
}

/* Takes an input's bytes from behind the document; false where its entry names none. */
static bool read_binary(struct Reader* reader, const struct Entry* entry) {
  static const char* const names[] = {"binary_data_size", NULL};
  struct Tensor* tensor = &reader->asked->inputs[entry->input];
  struct Text given;
  struct Number number;
  double size = -1;
  if (!json_members(entry->values[OPTIONS], names, &given) && !is_null(entry->values[OPTIONS])) {
    refuse_parameters(reader->refusal, "input", served.inputs[entry->input].name);
    return true;
  }
  if (!given.start) return false;
  if (!number_read(given.start, given.start + given.size, &number) ||
      !number_store(&number, FP64, &size) || size != (double)tensor->bytes ||
      reader->rest.size < tensor->bytes) {
    buffer_print(
        refuse(reader->refusal, 400),
        "input '%s' takes %zu bytes; binary_data_size is %.*s and %zu are left in the body",
        served.inputs[entry->input].name, tensor->bytes, cited(given), given.start,
        reader->rest.size);
    return true;
  }
  if (tensor->bytes) memcpy(tensor->data, reader->rest.start, tensor->bytes);
  reader->rest.start += tensor->bytes;
  reader->rest.size -= tensor->bytes;
  return true;
}

static void read_base64(struct Reader* reader, int input, struct Text data) {
  struct Tensor* tensor = &reader->asked->inputs[input];
  const char* name = served.inputs[input].name;
  struct Text text = json_decode(json_inside(data));
  ptrdiff_t size = base64_size(text);
  if (size >= 0 && (size_t)size != tensor->bytes)
    buffer_print(refuse(reader->refusal, 400), "input '%s' takes %zu bytes, its base64 holds %td",
                 name, tensor->bytes, size);
  else if (size < 0 || !base64_decode(text, tensor->data))
    buffer_print(refuse(reader->refusal, 400), "input '%s' is not base64", name);
}

static const char* read_data(const struct Reader* reader, int input, struct Json* json) {
  return data_read(json, served.inputs[input].datatype, &reader->asked->inputs[input]);
}

/* Reads an array where it is met, if all that it takes is known by then. */
static bool read_early(struct Reader* reader, struct Entry* entry) {
  struct Json json = reader->json;
  const struct Text* values = entry->values;
  if (json_peek(&json) != '[' || !values[NAME].start || !values[DATATYPE].start ||
      !values[SHAPE].start)
    return false;
  if (!identify(reader, entry) || read_data(reader, entry->input, &json)) return false;
  entry->values[DATA] = (struct Text){reader->json.at, (size_t)(json.at - reader->json.at)};
  reader->json = json;
  return entry->read = true;
}

static void finish_entry(struct Reader* reader, struct Entry* entry) {
  struct Text data = entry->values[DATA];
  if (entry->input < 0 && !identify(reader, entry)) return;
  if (read_binary(reader, entry) || entry->read) return;
  const char* name = served.inputs[entry->input].name;
  struct Json json = json_reader(data);
  if (json_inside(data).start) read_base64(reader, entry->input, data);
  else if (!data.start || *data.start != '[')
    buffer_print(refuse(reader->refusal, 400), "input '%s' has no list \"data\"", name);
  else {
    const char* wrong = read_data(reader, entry->input, &json);
    if (wrong) buffer_print(refuse(reader->refusal, 400), "input '%s': its data %s", name, wrong);
  }
}

/* Reads an entry of "inputs"; behind a refusal, only its JSON. */
static void read_entry(struct Reader* reader) {
  struct Json* json = &reader->json;
  struct Entry entry = {.input = -1};
  unsigned seen = 0;
  if (reader->refusal->status || !json_open(json, '{')) {
    json_skip(json);
    if (!reader->refusal->status) identify(reader, &entry);
    return;
  }
  for (int i; (i = json_member(json, entry_names, &seen)) >= 0;)
    if (i != DATA || reader->refusal->status || !read_early(reader, &entry))
      entry.values[i] = json_skip(json);
  if (!reader->refusal->status && !json->error) finish_entry(reader, &entry);
}

/* Reads the document; inputs where they are met, and the text of everything else. */
static void read_document(struct Reader* reader, struct Text* values) {
  struct Json* json = &reader->json;
  const char* start = json->at;
  unsigned seen = 0;
  if (!json_open(json, '{')) json_skip(json);
  else
    for (int i; (i = json_member(json, document_names, &seen)) >= 0;)
      if (i == INPUTS && json_open(json, '[')) {
        values[i] = text_of("[]");
        while (json_item(json)) read_entry(reader);
      } else values[i] = json_skip(json);
  if (!json_done(json))
    buffer_print(refuse(reader->refusal, 400), "the body is not JSON: at byte %td, %s",
                 json->at - start, json->error);
}

static void all_outputs(struct Asked* asked) {
  asked->num_outputs = served.num_outputs;
  for (int i = 0; i < served.num_outputs; ++i) asked->outputs[i] = i;
}

/* Reads which outputs are wanted, and which of them as bytes. */
static void read_outputs(struct Text value, struct Asked* asked, struct Refusal* refusal) {
  static const char *const names[] = {"name", "parameters", NULL}, *const options[] = {
                                                                       "binary_data", NULL};
  struct Json json = json_reader(value);
  struct Text values[2], choice;
  bool seen[MOST_PORTS] = {false};
  if (is_null(value)) {
    all_outputs(asked);
    return;
  }
  if (!json_open(&json, '[')) buffer_print(refuse(refusal, 400), "\"outputs\" is not a list");
  while (!refusal->status && json_item(&json)) {
    bool named = json_members(json_skip(&json), names, values);
    int output = named ? find_port(values[0], served.outputs, served.num_outputs) : -1;
    if (output < 0) {
      refuse_name(refusal, "output", named ? values[0] : text_of(""), served.outputs,
                  served.num_outputs);
      return;
    }
    const char* name = served.outputs[output].name;
    if (seen[output]) buffer_print(refuse(refusal, 400), "output '%s' is there twice", name);
    else if (!json_members(values[1], options, &choice) && !is_null(values[1]))
      refuse_parameters(refusal, "output", name);
    seen[output] = true;
    if (is_true(choice)) asked->binary[output] = true;
    else if (choice.start && *choice.start == 'f') asked->binary[output] = false;
    if (!refusal->status) asked->outputs[asked->num_outputs++] = output;
  }
}

/* Reads what is asked of all of a request. */
static void read_parameters(struct Text value, struct Asked* asked) {
  static const char* const names[] = {"profile", "correct", "binary_data_output", NULL};
  struct Text values[3];
  json_members(value, names, values);
  if (values[0].start && *values[0].start == '{') asked->profile = values[0];
  asked->correct = values[1];
  for (int i = 0; i < served.num_outputs; ++i) asked->binary[i] = is_true(values[2]);
}

bool protocol_read_image(struct Text file, struct Asked* asked, struct Refusal* refusal) {
  static struct Buffer pixels;
  const int input = served.image_input;
  *asked = (struct Asked){.profile = asked->profile, .correct = asked->correct};
  if (input < 0) {
    buffer_print(refuse(refusal, 415), "this model takes tensors, not images");
    return false;
  }
  struct Tensor* tensor = &asked->inputs[input];
  *tensor = (struct Tensor){.rank = served.image_channels == 1 ? 2 : 3};
  tensor->shape[2] = served.image_channels;
  switch (
      image_decode(file, served.image_channels, &pixels, &tensor->shape[0], &tensor->shape[1])) {
    case IMAGE_DONE: break;
    case IMAGE_BROKEN: buffer_print(refuse(refusal, 400), "not a readable image"); return false;
    case IMAGE_TOO_LARGE:
      buffer_print(refuse(refusal, 413), "the image has more than %d pixels", IMAGE_MOST_PIXELS);
      return false;
    case IMAGE_NO_MEMORY:
      buffer_print(refuse(refusal, 500), "no memory for the image");
      return false;
  }
  if (!place_input(input, asked, refusal)) return false;
  memcpy(tensor->data, pixels.start, tensor->bytes);
  all_outputs(asked);
  return true;
}

static bool read_image_text(struct Text value, struct Asked* asked, struct Refusal* refusal) {
  struct Text text = json_decode(json_inside(value));
  ptrdiff_t size = text.start ? base64_size(text) : -1;
  if (size < 0 || !base64_decode(text, (char*)text.start)) {
    buffer_print(refuse(refusal, 400), "the image is not base64");
    return false;
  }
  return protocol_read_image((struct Text){text.start, (size_t)size}, asked, refusal);
}

/* Whether everything is there, and nothing else. */
static void check_inputs(const struct Reader* reader) {
  if (reader->rest.size)
    buffer_print(refuse(reader->refusal, 400), "%zu bytes behind the JSON belong to no input",
                 reader->rest.size);
  for (int i = 0; i < served.num_inputs && !reader->refusal->status; ++i)
    if (!reader->asked->given[i])
      buffer_print(refuse(reader->refusal, 400), "input '%s' is missing", served.inputs[i].name);
}

/* Cuts a body where its document ends. */
static bool split(struct Text* body, struct Text length, struct Text* rest) {
  struct Number number;
  uint64_t size = body->size;
  if (length.start) {
    const char* end = length.start + length.size;
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

bool protocol_read(struct Text body, struct Text header_length, struct Asked* asked,
                   struct Refusal* refusal) {
  struct Reader reader = {.asked = asked, .refusal = refusal};
  struct Text values[DOCUMENT_MEMBERS] = {{NULL, 0}};
  *asked = (struct Asked){0};
  if (body.size > MOST_BODY_BYTES) {
    buffer_print(refuse(refusal, 413), "the body has more than %d bytes", MOST_BODY_BYTES);
    return false;
  }
  if (!split(&body, header_length, &reader.rest)) {
    buffer_print(refuse(refusal, 400),
                 "inference-header-content-length is %.*s and the body has %zu bytes",
                 cited(header_length), header_length.start, body.size);
    return false;
  }
  reader.json = json_reader(body);
  read_document(&reader, values);
  if (refusal->status) return false;
  bool object = values[PARAMETERS].start && *values[PARAMETERS].start == '{';
  if (object) read_parameters(values[PARAMETERS], asked);
  if (!values[INPUTS].start && values[IMAGE].start)
    return read_image_text(values[IMAGE], asked, refusal);
  if (!values[INPUTS].start || *values[INPUTS].start != '[')
    buffer_print(refuse(refusal, 400), "the request has no list \"inputs\"");
  else if (!object && !is_null(values[PARAMETERS])) refuse_parameters(refusal, "the", "request");
  else check_inputs(&reader);
  if (!refusal->status) read_outputs(values[OUTPUTS], asked, refusal);
  if (!is_null(values[ID])) asked->id = values[ID];
  return !refusal->status;
}

/* The entries of "inputs" to tensors. */
#include "inputs.h"

#include <string.h>

#include "base64.h"
#include "data.h"
#include "json.h"
#include "numbers.h"
#include "serve.h"

enum { NAME, DATATYPE, SHAPE, DATA, OPTIONS, ENTRY_MEMBERS };

static const char *const entry_names[] = {"name", "datatype", "shape", "data", "parameters", NULL};

/* An entry of "inputs". */
struct Entry {
  struct Text values[ENTRY_MEMBERS];
  int input; /* -1 before it is known */
  bool read; /* its data is in place */
};

/* Reads a list of sizes; false where a value is none. */
static bool read_shape(struct Text value, struct Tensor *tensor) {
  struct Json json = json_reader(value);
  struct Number number;
  if (!value.start || !json_open(&json, '[')) return false;
  for (tensor->rank = 0; json_item(&json); ++tensor->rank) {
    struct Text size = json_skip(&json);
    const char *behind = number_read(size.start, size.start + size.size, &number);
    if (tensor->rank == MOST_RANK || !behind || !number.whole) return false;
    int64_t *place = &tensor->shape[tensor->rank];
    if (!number_store(&number, INT64, place)) *place = number.negative ? -1 : INT64_MAX;
    if (*place < 0) return false;
  }
  return true;
}

static bool takes(const struct Port *port, const struct Tensor *tensor) {
  bool fits = port->rank == tensor->rank;
  for (int i = 0; fits && i < port->rank; ++i)
    fits = port->shape[i] == -1 || port->shape[i] == tensor->shape[i];
  return fits;
}

/* Finds the place of an input whose shape is known. */
bool inputs_place(int input, struct Asked *asked, struct Refusal *refusal) {
  const struct Port *port = &served.inputs[input];
  struct Tensor *tensor = &asked->inputs[input];
  if (!takes(port, tensor)) {
    refuse(refusal, 400, "input '%s' has shape ", port->name);
    shape_print(&refusal->message, tensor->shape, tensor->rank);
    buffer_print(&refusal->message, ", this model takes ");
    shape_print(&refusal->message, port->shape, port->rank);
    return false;
  }
  int64_t count = data_count(tensor->shape, tensor->rank, port->datatype);
  tensor->bytes = (size_t)count * datatype_size(port->datatype);
  if (count < 0)
    return refuse(refusal, 413, "input '%s' is larger than %d bytes", port->name, MOST_BODY_BYTES);
  if (!(tensor->data = engine_input(input, tensor->bytes)))
    return refuse(refusal, 500, "no memory for input '%s'", port->name);
  return asked->given[input] = true;
}

/* Finds out which input an entry is, and its place. */
static bool identify(struct Reader *reader, struct Entry *entry) {
  const struct Text name = entry->values[NAME], datatype = entry->values[DATATYPE];
  struct Refusal *refusal = reader->refusal;
  if (!json_inside(name).start)
    return refuse(refusal, 400, "an entry of \"inputs\" has no name");
  int input = find_port(name, served.inputs, served.num_inputs);
  if (input < 0) return refuse_name(refusal, "input", name, served.inputs, served.num_inputs);
  const struct Port *port = &served.inputs[input];
  const char *takes = datatype_name(port->datatype);
  if (reader->asked->given[input])
    return refuse(refusal, 400, "input '%s' is there twice", port->name);
  if (!json_is(json_inside(datatype), takes))
    return refuse(refusal, 400, "input '%s' has datatype %.*s, this model takes %s", port->name,
                  cited(datatype), datatype.start ? datatype.start : "", takes);
  if (!read_shape(entry->values[SHAPE], &reader->asked->inputs[input]))
    return refuse(refusal, 400, "input '%s' has no shape that is a list of sizes", port->name);
  if (!inputs_place(input, reader->asked, refusal)) return false;
  entry->input = input;
  return true;
}

/* Takes an input's bytes from behind the document; false where its entry names none. */
static bool read_binary(struct Reader *reader, const struct Entry *entry) {
  static const char *const names[] = {"binary_data_size", NULL};
  struct Tensor *tensor = &reader->asked->inputs[entry->input];
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
    refuse(reader->refusal, 400,
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

static void read_base64(struct Reader *reader, int input, struct Text data) {
  struct Tensor *tensor = &reader->asked->inputs[input];
  const char *name = served.inputs[input].name;
  struct Text text = json_decode(json_inside(data));
  ptrdiff_t size = base64_size(text);
  if (size >= 0 && (size_t)size != tensor->bytes)
    refuse(reader->refusal, 400, "input '%s' takes %zu bytes, its base64 holds %td", name,
           tensor->bytes, size);
  else if (size < 0 || !base64_decode(text, tensor->data))
    refuse(reader->refusal, 400, "input '%s' is not base64", name);
}

static const char *read_data(const struct Reader *reader, int input, struct Json *json) {
  return data_read(json, served.inputs[input].datatype, &reader->asked->inputs[input]);
}

/* Reads an array where it is met, if all that it takes is known by then. */
static bool read_early(struct Reader *reader, struct Entry *entry) {
  struct Json json = reader->json;
  const struct Text *values = entry->values;
  if (json_peek(&json) != '[' || !values[NAME].start || !values[DATATYPE].start ||
      !values[SHAPE].start)
    return false;
  if (!identify(reader, entry) || read_data(reader, entry->input, &json)) return false;
  entry->values[DATA] = (struct Text){reader->json.at, (size_t)(json.at - reader->json.at)};
  reader->json = json;
  return entry->read = true;
}

static void finish_entry(struct Reader *reader, struct Entry *entry) {
  struct Text data = entry->values[DATA];
  if (entry->input < 0 && !identify(reader, entry)) return;
  if (read_binary(reader, entry) || entry->read) return;
  const char *name = served.inputs[entry->input].name;
  struct Json json = json_reader(data);
  if (json_inside(data).start) read_base64(reader, entry->input, data);
  else if (!data.start || *data.start != '[')
    refuse(reader->refusal, 400, "input '%s' has no list \"data\"", name);
  else {
    const char *wrong = read_data(reader, entry->input, &json);
    if (wrong) refuse(reader->refusal, 400, "input '%s': its data %s", name, wrong);
  }
}

/* Reads an entry of "inputs"; behind a refusal, only its JSON. */
static void read_entry(struct Reader *reader) {
  struct Json *json = &reader->json;
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

void inputs_read(struct Reader *reader) {
  while (json_item(&reader->json)) read_entry(reader);
}

void inputs_check(const struct Reader *reader) {
  if (reader->rest.size)
    refuse(reader->refusal, 400, "%zu bytes behind the JSON belong to no input",
           reader->rest.size);
  for (int i = 0; i < served.num_inputs && !reader->refusal->status; ++i)
    if (!reader->asked->given[i])
      refuse(reader->refusal, 400, "input '%s' is missing", served.inputs[i].name);
}

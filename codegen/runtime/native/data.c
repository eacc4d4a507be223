/* The elements of tensors as JSON writes them. */
#include "data.h"

#include <string.h>

#include "numbers.h"
#include "serve.h"

enum { ELEMENTS_A_RESERVE = 1024 };

/* Reads one tensor. Lists of elements stand at one depth only, which the first one fixes. */
struct Reading {
  struct Json *json;
  enum Datatype datatype;
  const struct Tensor *tensor;
  char *place;
  int leaf_depth; /* -1 before the first */
};

static const char not_nested[] = "is not nested as the shape says";
static const char not_counted[] = "has not as many elements as the shape asks for";
static const char not_typed[] = "holds what is no number of this type";
static const char not_in_range[] = "holds a number that is out of range";

int64_t data_count(const int64_t *shape, int rank, enum Datatype datatype) {
  int64_t count = 1, most = MOST_BODY_BYTES / (int64_t)datatype_size(datatype);
  bool none = false;
  for (int i = 0; i < rank; ++i) {
    if (shape[i] < 0) return -1;
    none |= shape[i] == 0;
  }
  for (int i = 0; i < rank && !none; ++i)
    if (shape[i] > most / count || (count *= shape[i]) > most) return -1;
  return none ? 0 : count;
}

static const char *read_bool(struct Json *json, char *place) {
  struct Text value = json_skip(json);
  *place = value.size == 4;
  return value.size && (*value.start == 't' || *value.start == 'f') ? NULL : not_typed;
}

/* json_item, quick where a comma and a number follow. */
static inline bool another(struct Json *json) {
  const char *at = json->at;
  if (json->end - at < 3 || *at != ',') return json_item(json);
  at += at[1] == ' ' ? 2 : 1;
  if (*at != '-' && (*at < '0' || *at > '9')) return json_item(json);
  json->at = at;
  return true;
}

static const char *read_elements(struct Reading *reading, int64_t count) {
  struct Json *json = reading->json;
  const enum Datatype datatype = reading->datatype;
  const size_t size = datatype_size(datatype);
  struct Number number;
  char *place = reading->place;
  for (bool more = json_item(json); more; more = another(json), --count, place += size) {
    json_peek(json);
    if (!count) return not_counted;
    if (datatype == BOOL) {
      const char *wrong = read_bool(json, place);
      if (wrong) return wrong;
      continue;
    }
    const char *behind = number_read(json->at, json->end, &number);
    if (!behind || behind == json->end) return not_typed;
    if (!number.whole && datatype < FP16) return not_typed;
    if (!number_store(&number, datatype, place)) return not_in_range;
    json->at = behind;
  }
  reading->place = place;
  return count ? not_counted : NULL;
}

/* Reads the list ahead, which holds that many elements at whatever depth. */
static const char *read_list(struct Reading *reading, int depth, int64_t count) {
  struct Json *json = reading->json, before;
  const struct Tensor *tensor = reading->tensor;
  const char *wrong = NULL;
  int64_t rows = 0, size = depth < tensor->rank ? tensor->shape[depth] : 0;
  if (!json_open(json, '[')) return not_nested;
  before = *json;
  if (!json_item(json) || json_peek(json) != '[') {
    if (reading->leaf_depth < 0) reading->leaf_depth = depth;
    *json = before;
    return reading->leaf_depth == depth ? read_elements(reading, count) : not_nested;
  }
  if (depth + 1 >= tensor->rank) return not_nested;
  do
    if (rows++ == size) return not_nested;
    else wrong = read_list(reading, depth + 1, count / size);
  while (!wrong && json_item(json));
  return !wrong && rows != size ? not_nested : wrong;
}

const char *data_read(struct Json *json, enum Datatype datatype, const struct Tensor *tensor) {
  struct Reading reading = {json, datatype, tensor, tensor->data, -1};
  const char *wrong = read_list(&reading, 0, (int64_t)(tensor->bytes / datatype_size(datatype)));
  return json->error ? json->error : wrong;
}

void data_print(struct Buffer *buffer, enum Datatype datatype, const struct Tensor *tensor) {
  const size_t size = datatype_size(datatype), count = tensor->bytes / size;
  const char *element = tensor->data;
  buffer_add(buffer, "[", 1);
  for (size_t i = 0; i < count;) {
    char *start = buffer_reserve(buffer, ELEMENTS_A_RESERVE * (MOST_NUMBER_CHARACTERS + 1)),
         *to = start;
    if (!start) return;
    for (int j = 0; j < ELEMENTS_A_RESERVE && i < count; ++j, ++i, element += size) {
      if (i) *to++ = ',';
      to += number_print(datatype, element, to);
    }
    buffer_took(buffer, (size_t)(to - start));
  }
  buffer_add(buffer, "]", 1);
}

void shape_print(struct Buffer *buffer, const int64_t *shape, int rank) {
  buffer_add(buffer, "[", 1);
  for (int i = 0; i < rank; ++i) buffer_print(buffer, i ? ", %lld" : "%lld", (long long)shape[i]);
  buffer_add(buffer, "]", 1);
}

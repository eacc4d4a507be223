/* Reads JSON where it lies. */
#include "json.h"

#include <stdint.h>
#include <string.h>

#include "numbers.h"

struct Json json_reader(struct Text text) {
  if (!text.start) text = text_of("");
  return (struct Json){.at = text.start, .end = text.start + text.size};
}

static bool fail(struct Json *json, const char *error) {
  if (!json->error) json->error = error;
  return false;
}

char json_peek(struct Json *json) {
  const char *at = json->at;
  while (at < json->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')) ++at;
  json->at = at;
  return json->error || at == json->end ? 0 : *at;
}

static bool take(struct Json *json, char c) {
  if (json_peek(json) != c) return false;
  ++json->at;
  return true;
}

bool json_open(struct Json *json, char bracket) {
  if (json_peek(json) != bracket) return false;
  if (json->depth == JSON_MOST_DEPTH) return fail(json, "it is nested too deep");
  ++json->at;
  ++json->depth;
  return json->fresh = true;
}

/* Goes on within an object or array, up to its next member or behind its end. */
static bool more(struct Json *json, char end) {
  bool fresh = json->fresh;
  json->fresh = false;
  if (take(json, end)) {
    --json->depth;
    return false;
  }
  if (!fresh && !take(json, ',')) return fail(json, "a comma or an end is missing");
  return !json->error;
}

bool json_item(struct Json *json) { return more(json, ']'); }

bool json_key(struct Json *json, struct Text *key) {
  if (!more(json, '}')) return false;
  if (!json_string(json, key)) return fail(json, "a key is missing");
  return take(json, ':') || fail(json, "a colon is missing");
}

/* Steps over characters that a string may hold as they are, ASCII only. */
static const char *step_over_plain(const char *at, const char *end) {
  const uint64_t ones = 0x0101010101010101u, tops = 0x80 * ones;
  for (uint64_t word; end - at >= 8; at += 8) {
    memcpy(&word, at, sizeof word);
    uint64_t quotes = word ^ '"' * ones, slashes = word ^ '\\' * ones;
    if (((word - 0x20 * ones) | (quotes - ones) | (slashes - ones) | word) & tops) break;
  }
  while (at < end && (unsigned char)*at - 0x20u < 0x60 && *at != '"' && *at != '\\') ++at;
  return at;
}

/* Bytes of the escape at a place, 0 where it is none. */
static size_t escape_size(const char *at, const char *end) {
  if (end - at < 2 || !at[1] || !strchr("\"\\/bfnrtu", at[1])) return 0;
  if (at[1] != 'u') return 2;
  if (end - at < 6) return 0;
  for (int i = 2; i < 6; ++i)
    if (hex_digit(at[i]) < 0) return 0;
  return 6;
}

bool json_string(struct Json *json, struct Text *string) {
  if (json_peek(json) != '"') return false;
  const char *start = ++json->at, *at = start;
  while ((at = step_over_plain(at, json->end)) < json->end && *at != '"') {
    size_t size = *at == '\\' ? escape_size(at, json->end) : utf8_size(at, json->end);
    if ((unsigned char)*at < 0x20) return fail(json, "a control character is in a string");
    if (!size) return fail(json, *at == '\\' ? "an escape is none" : "a string is not UTF-8");
    json->at = at += size;
  }
  json->at = at;
  *string = (struct Text){start, (size_t)(at - start)};
  return take(json, '"') || fail(json, "a string has no end");
}

static bool literal(struct Json *json, const char *word) {
  size_t size = strlen(word);
  if ((size_t)(json->end - json->at) < size || memcmp(json->at, word, size)) return false;
  json->at += size;
  return true;
}

static bool scalar(struct Json *json) {
  struct Number number;
  struct Text string;
  if (json_string(json, &string)) return true;
  const char *behind = number_read(json->at, json->end, &number);
  if (behind) json->at = behind;
  return behind || literal(json, "true") || literal(json, "false") || literal(json, "null") ||
         fail(json, json->at < json->end ? "a value is none" : "it ends too early");
}

struct Text json_skip(struct Json *json) {
  struct Text key;
  json_peek(json);
  const char *start = json->at;
  if (json_open(json, '{'))
    while (json_key(json, &key)) json_skip(json);
  else if (json_open(json, '['))
    while (json_item(json)) json_skip(json);
  else if (!json->error) scalar(json);
  return (struct Text){start, (size_t)(json->at - start)};
}

int json_member(struct Json *json, const char *const *names, unsigned *seen) {
  for (struct Text key; json_key(json, &key); json_skip(json))
    for (int i = 0; names[i]; ++i) {
      if (!json_is(key, names[i])) continue;
      if (*seen & 1u << i) fail(json, "a key is there twice");
      *seen |= 1u << i;
      return json->error ? -1 : i;
    }
  return -1;
}

bool json_members(struct Text value, const char *const *names, struct Text *values) {
  struct Json json = json_reader(value);
  unsigned seen = 0;
  for (int i = 0; names[i]; ++i) values[i] = (struct Text){NULL, 0};
  if (!value.start || !json_open(&json, '{')) return false;
  for (int i; (i = json_member(&json, names, &seen)) >= 0;) values[i] = json_skip(&json);
  return !json.error;
}

bool json_done(struct Json *json) {
  json_peek(json);
  return !json->error && (json->at == json->end || fail(json, "something follows its end"));
}

struct Text json_inside(struct Text value) {
  if (!value.start || value.size < 2 || *value.start != '"') return (struct Text){NULL, 0};
  return (struct Text){value.start + 1, value.size - 2};
}

static uint32_t code_unit(const char *digits) {
  uint32_t code = 0;
  for (int i = 0; i < 4; ++i) code = code << 4 | (uint32_t)hex_digit(digits[i]);
  return code;
}

/* Decodes \uXXXX, or two of them; returns the place behind. */
static const char *decode_unicode(const char *at, const char *end, char *place, size_t *size) {
  uint32_t code = code_unit(at + 2);
  bool pair = code >> 10 == 0x36 && end - at >= 12 && at[6] == '\\' && at[7] == 'u' &&
              code_unit(at + 8) >> 10 == 0x37;
  if (pair) code = 0x10000 + ((code & 0x3ff) << 10 | (code_unit(at + 8) & 0x3ff));
  else if (code >> 11 == 0x1b) code = 0xfffd;
  *size = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = *size - 1; i > 0; --i, code >>= 6) place[i] = (char)(0x80 | (code & 0x3f));
  place[0] = (char)(leads[*size] | code);
  return at + (pair ? 12 : 6);
}

/* Decodes what stands at a place of a string, to that place perhaps; returns the place behind. */
static const char *decode_one(const char *at, const char *end, char *place, size_t *size) {
  static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  const bool escape = *at == '\\';
  if (escape && at[1] == 'u') return decode_unicode(at, end, place, size);
  *place = escape ? meant[strchr(names, at[1]) - names] : *at;
  *size = 1;
  return at + (escape ? 2 : 1);
}

bool json_is(struct Text string, const char *word) {
  if (!string.start) return false;
  const char *at = string.start, *end = at + string.size;
  char place[4];
  for (size_t size; at < end; word += size) {
    at = decode_one(at, end, place, &size);
    if (strncmp(place, word, size) || !place[0]) return false;
  }
  return !*word;
}

struct Text json_decode(struct Text string) {
  if (!string.size || !memchr(string.start, '\\', string.size)) return string;
  const char *at = string.start, *end = at + string.size;
  char *to = (char *)string.start;
  for (size_t size; at < end; to += size) at = decode_one(at, end, to, &size);
  return (struct Text){string.start, (size_t)(to - string.start)};
}

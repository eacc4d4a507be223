/* Reads JSON (RFC 8259) where it lies, a value at a time, and changes nothing. The first error
 * stays, and nothing is read behind it.
 *
 *   if (json_open(json, '{'))
 *     for (struct Text key; json_key(json, &key);) json_skip(json);
 */
#pragma once

#include "text.h"

enum { JSON_MOST_DEPTH = 64 };

struct Json {
  const char *at, *end;
  const char *error; /* NULL so far */
  int depth;
  bool fresh; /* the object or array around was opened just now */
};

struct Json json_reader(struct Text text);
/* The first character of the value ahead, which tells its kind; 0 where nothing is left. */
char json_peek(struct Json *json);
/* Opens the value ahead where it is an object, {, or an array, [; otherwise does nothing. */
bool json_open(struct Json *json, char bracket);
/* Whether there is another member, whose value is ahead then; the object is closed if not.
 * Keys and strings are what stands between the quotes, escapes and all. */
bool json_key(struct Json *json, struct Text *key);
/* Skips to the next member whose key is one of a list that ends with NULL, and returns which;
 * -1 at the end. One that was seen before is an error. */
int json_member(struct Json *json, const char *const *names, unsigned *seen);
/* Whether there is another item in the array; it is closed if not. */
bool json_item(struct Json *json);
/* Reads the value ahead where it is a string; otherwise does nothing. */
bool json_string(struct Json *json, struct Text *string);
/* Reads any value, and returns all of its text. */
struct Text json_skip(struct Json *json);
/* Whether the whole text was one value without an error. */
bool json_done(struct Json *json);

/* The values of an object's members of those names; false where a value is no object. */
bool json_members(struct Text value, const char *const *names, struct Text *values);
/* What is between the quotes of a value that is a string; none where it is none. */
struct Text json_inside(struct Text value);
/* Whether a string, once decoded, is a word. */
bool json_is(struct Text string, const char *word);
/* Decodes a string in its place, once; half of a surrogate pair becomes U+FFFD. */
struct Text json_decode(struct Text string);

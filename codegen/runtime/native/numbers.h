/* JSON's numbers to elements of tensors, and back. */
#pragma once

#include <stdbool.h>

#include "served.h"

/* A number as it is written: digits * 10^exponent. */
struct Number {
  const char *start;
  uint64_t digits; /* the lowest 64 bits of all of them */
  int64_t exponent;
  bool negative;
  bool whole; /* without fraction and exponent */
  bool fits;  /* all digits are in digits */
};

enum { MOST_NUMBER_CHARACTERS = 32 };

const char *datatype_name(enum Datatype datatype);
size_t datatype_size(enum Datatype datatype);

/* Reads the number at the front of a text; returns the place behind, NULL where JSON knows no
 * such number. */
const char *number_read(const char *at, const char *end, struct Number *number);
/* Writes a number as an element, rounded as Python rounds it; false where it is out of range.
 * Not for BOOL, and integers only take whole ones. What stands behind it must be no part of a
 * number. */
bool number_store(const struct Number *number, enum Datatype datatype, void *element);
/* Writes an element as JSON and returns the characters written; null where it is not finite.
 * What is written reads back as the same element. */
size_t number_print(enum Datatype datatype, const void *element, char *place);

/* JSON's numbers to elements of tensors, and back. The locale is C's: nothing here sets another. */
#include "numbers.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAFE_DIGITS = 19, EXACT_POWER = 22, MOST_EXPONENT = 1000000000, SINGLE_DIGITS = 9 };
enum { MOST_ZEROS = 4, MOST_DIGITS = 16 }; /* around the point of numbers without an exponent */

/* The powers of ten that a double holds exactly. */
static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static const struct {
  const char *name;
  size_t size;
} datatypes[] = {
    [BOOL] = {"BOOL", 1},     [UINT8] = {"UINT8", 1},   [UINT16] = {"UINT16", 2},
    [UINT32] = {"UINT32", 4}, [UINT64] = {"UINT64", 8}, [INT8] = {"INT8", 1},
    [INT16] = {"INT16", 2},   [INT32] = {"INT32", 4},   [INT64] = {"INT64", 8},
    [FP16] = {"FP16", 2},     [FP32] = {"FP32", 4},     [FP64] = {"FP64", 8},
};

const char *datatype_name(enum Datatype datatype) { return datatypes[datatype].name; }
size_t datatype_size(enum Datatype datatype) { return datatypes[datatype].size; }

static inline bool is_digit(char c) { return (unsigned char)(c - '0') < 10; }

static inline const char *read_digits(const char *at, const char *end, uint64_t *digits) {
  uint64_t value = *digits;
  for (; at < end && is_digit(*at); ++at) value = 10 * value + (uint64_t)(*at - '0');
  *digits = value;
  return at;
}

/* Adds a written exponent, cut where it is larger than bodies are long; NULL where it is none. */
static const char *read_exponent(const char *at, const char *end, int64_t *exponent) {
  bool negative = at < end && *at == '-';
  int64_t value = 0;
  if (at < end && (*at == '-' || *at == '+')) ++at;
  const char *first = at;
  for (; at < end && is_digit(*at); ++at)
    if (value < MOST_EXPONENT) value = 10 * value + (*at - '0');
  *exponent += negative ? -value : value;
  return at == first ? NULL : at;
}

/* Whether digits between two places, a point among them or not, are few without leading zeros. */
static bool are_few(const char *at, const char *end) {
  while (at < end && (*at == '0' || *at == '.')) ++at;
  return end - at <= SAFE_DIGITS;
}

const char *number_read(const char *at, const char *end, struct Number *number) {
  *number = (struct Number){.start = at, .negative = at < end && *at == '-', .whole = true};
  const char *first = at + number->negative;
  at = read_digits(first, end, &number->digits);
  if (at == first || (*first == '0' && at - first > 1)) return NULL;
  if (at < end && *at == '.') {
    const char *fraction = ++at;
    at = read_digits(at, end, &number->digits);
    if (at == fraction) return NULL;
    number->exponent = fraction - at;
    number->whole = false;
  }
  number->fits = at - first <= SAFE_DIGITS || are_few(first, at);
  if (at == end || (*at | 0x20) != 'e') return at;
  number->whole = false;
  return read_exponent(at + 1, end, &number->exponent);
}

/* Within half a unit in the last place for each step; exact steps for powers up to 22. */
static double scale(double value, int64_t exponent) {
  for (; exponent > EXACT_POWER; exponent -= EXACT_POWER) value *= powers[EXACT_POWER];
  for (; exponent < -EXACT_POWER; exponent += EXACT_POWER) value /= powers[EXACT_POWER];
  return exponent < 0 ? value / powers[-exponent] : value * powers[exponent];
}

/* Whether all doubles within a few units in the last place round to the same normal float. */
static bool rounds_surely(double value) {
  enum { UNITS = 16 };
  const uint32_t dropped = 0x1fffffff, middle = 0x10000000; /* of the 29 bits too many */
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t low = (uint32_t)bits & dropped;
  bool far = low < middle - UNITS || low > middle + UNITS;
  return far && value > 2 * (double)FLT_MIN && value < (double)FLT_MAX / 2;
}

/* The nearest double; of a single, a double that rounds to the same float. */
static double to_double(const struct Number *number, bool single) {
  const uint64_t exact = (uint64_t)1 << DBL_MANT_DIG;
  const int64_t exponent = number->exponent;
  if (number->fits && !number->digits) return number->negative && !number->whole ? -0.0 : 0.0;
  bool simple = number->fits && exponent >= -EXACT_POWER && exponent <= EXACT_POWER;
  bool near = number->fits && single && exponent >= -64 && exponent <= 64;
  if (near || (simple && number->digits <= exact)) {
    double value = scale((double)number->digits, exponent);
    if ((simple && number->digits <= exact) || rounds_surely(value))
      return number->negative ? -value : value;
  }
  return strtod(number->start, NULL);
}

/* A double as the bits of the nearest half, ties to even; of infinity where it is too large. */
static uint16_t to_half(double value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  double size = fabs(value);
  if (size >= 65520) return sign | 0x7c00;
  if (size < 0x1p-14) return sign | (uint16_t)(size * 0x1p24 + 0x1p52 - 0x1p52);
  uint64_t bits;
  memcpy(&bits, &size, sizeof bits);
  uint64_t kept = bits >> 42, low = bits & 0x3ffffffffff, middle = (uint64_t)1 << 41;
  kept += low > middle || (low == middle && (kept & 1));
  return sign | (uint16_t)(kept - ((uint64_t)(1023 - 15) << 10));
}

static float from_half(uint16_t half) {
  uint32_t bits = (uint32_t)(half & 0x7fff) << 13;
  float size, sign = half & 0x8000 ? -1 : 1;
  if ((half & 0x7c00) == 0x7c00) return half & 0x3ff ? NAN : sign * INFINITY;
  memcpy(&size, &bits, sizeof size);
  return sign * size * 0x1p112f;
}

static bool store_integer(const struct Number *number, enum Datatype datatype, void *element) {
  size_t size = datatype_size(datatype);
  uint64_t value = number->digits, most = UINT64_MAX >> (64 - 8 * size);
  errno = 0;
  if (!number->fits) value = strtoull(number->start + number->negative, NULL, 10);
  if (datatype >= INT8) most = (most >> 1) + number->negative;
  else if (number->negative) most = 0;
  if (errno || value > most) return false;
  value = number->negative ? -value : value;
  memcpy(element, &value, size);
  return true;
}

bool number_store(const struct Number *number, enum Datatype datatype, void *element) {
  if (datatype < FP16) return store_integer(number, datatype, element);
  double value = to_double(number, datatype == FP32);
  float single = (float)value;
  uint16_t half;
  switch (datatype) {
    case FP32: memcpy(element, &single, sizeof single); return isfinite(single);
    case FP64: memcpy(element, &value, sizeof value); return isfinite(value);
    default:
      half = to_half(value);
      memcpy(element, &half, sizeof half);
      return (half & 0x7c00) != 0x7c00;
  }
}

static size_t print_digits(uint64_t value, char *place) {
  char text[20];
  size_t size = 0;
  do text[sizeof text - ++size] = (char)('0' + value % 10);
  while (value /= 10);
  memcpy(place, text + sizeof text - size, size);
  return size;
}

/* The exponent of a positive float, which is 2 to its power times 0.5 to 1. */
static int binary_exponent(float value) {
  uint32_t bits;
  if (value < FLT_MIN) return binary_exponent(value * 0x1p64f) - 64;
  memcpy(&bits, &value, sizeof bits);
  return (int)(bits >> 23) - 126;
}

/* Few digits and an exponent of a positive float that read back as it. */
static uint64_t shorten(float value, int *exponent) {
  const uint64_t most = 1000000000;
  int binary = binary_exponent(value);
  *exponent =
      ((binary - 1) * 30103 + 10000000) / 100000 - 100 - SINGLE_DIGITS + 1; /* by log10(2) */
  double scaled = scale((double)value, -*exponent);
  if (scaled >= (double)most) ++*exponent, scaled = scale((double)value, -*exponent);
  uint64_t digits = (uint64_t)(scaled + 0.5);
  for (;;) {
    uint64_t fewer = (digits + 5) / 10;
    double read = scale((double)fewer, *exponent + 1);
    if (fewer * 10 != digits && ((float)read != value || !rounds_surely(read))) return digits;
    digits = fewer;
    ++*exponent;
  }
}

static size_t print_single(float value, char *place) {
  char text[20], *to = place;
  int exponent = 0;
  if (!isfinite(value)) return (size_t)sprintf(place, "null");
  if (signbit(value)) *to++ = '-';
  uint64_t digits = value == 0 ? 0 : shorten(fabsf(value), &exponent);
  int size = (int)print_digits(digits, text), point = size + exponent;
  if (point < -MOST_ZEROS || point > MOST_DIGITS) {
    memcpy(to, text, (size_t)size);
    to += size;
    *to++ = 'e';
    if (exponent < 0) *to++ = '-';
    return (size_t)(to - place) + print_digits((uint64_t)abs(exponent), to);
  }
  const int first = point < 1 ? point - 1 : 0, end = point < size ? size : point + 1;
  for (int i = first; i < end; ++i) {
    if (i == point) *to++ = '.';
    *to++ = i >= 0 && i < size ? text[i] : '0';
  }
  return (size_t)(to - place);
}

static size_t print_integer(enum Datatype datatype, const void *element, char *place) {
  size_t size = datatype_size(datatype);
  uint64_t value = 0;
  memcpy(&value, element, size);
  bool negative = datatype >= INT8 && value >> (8 * size - 1);
  if (negative) {
    *place = '-';
    value = (UINT64_MAX >> (64 - 8 * size) & -value);
  }
  return negative + print_digits(value, place + negative);
}

size_t number_print(enum Datatype datatype, const void *element, char *place) {
  uint16_t half;
  float single;
  double value;
  switch (datatype) {
    case BOOL: return (size_t)sprintf(place, *(const char *)element ? "true" : "false");
    case FP16: memcpy(&half, element, sizeof half); return print_single(from_half(half), place);
    case FP32: memcpy(&single, element, sizeof single); return print_single(single, place);
    case FP64:
      memcpy(&value, element, sizeof value);
      return (size_t)(isfinite(value) ? sprintf(place, "%.17g", value) : sprintf(place, "null"));
    default: return print_integer(datatype, element, place);
  }
}

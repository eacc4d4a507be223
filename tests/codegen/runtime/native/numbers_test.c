/* Random floats in many spellings read as the C library reads them, and print as what reads back
 * as them. Says nothing unless a number differs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"

enum { ROUNDS = 400000 };

static uint64_t state = 88172645463325252u;

/* Marsaglia's xorshift64. */
static uint64_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  return state ^= state << 17;
}

/* Whether a text that a comma follows reads as a type's nearest number to the text's. */
static int reads(const char *text, size_t size) {
  struct Number number;
  float single, wanted_single = (float)strtod(text, NULL);
  double value, wanted = strtod(text, NULL);
  if (number_read(text, text + size + 1, &number) != text + size) return 0;
  int fits = number_store(&number, FP32, &single), fits_double = number_store(&number, FP64, &value);
  if (fits != !!isfinite(wanted_single) || fits_double != !!isfinite(wanted)) return 0;
  return (!fits || !memcmp(&single, &wanted_single, sizeof single)) &&
         (!fits_double || !memcmp(&value, &wanted, sizeof value));
}

static int check_reading(void) {
  static const char *const formats[] = {"%.9f,", "%.7e,", "%.17g,", "%.3f,", "%.20e,", "%.40f,"};
  char text[512];
  for (int i = 0; i < ROUNDS; ++i) {
    uint64_t bits = random_bits();
    float single;
    double value;
    uint32_t low = (uint32_t)bits;
    memcpy(&single, &low, sizeof single);
    memcpy(&value, &bits, sizeof value);
    if (i % 4) value = isfinite(single) ? (double)single : 1;
    if (i % 4 == 2) value = (double)(int64_t)bits * 1e-18;
    if (i % 4 == 3) value = (double)single * (1 + 0x1p-24); /* half-way between two floats */
    if (!isfinite(value)) continue;
    int size = snprintf(text, sizeof text, formats[bits >> 32 & (fabs(value) < 1e40 ? 3 : 1)], value);
    if (size >= (int)sizeof text || strstr(text, "nan")) continue;
    if (!strpbrk(text, ".e")) size += snprintf(text + size - 1, 4, "e0,") - 1;
    if (!reads(text, (size_t)size - 1)) return printf("reading %s\n", text);
    if (i % 8 == 0 && fabs(value) < 1e40) {
      size = snprintf(text, sizeof text, formats[4 + (i / 8 & 1)], value);
      if (!reads(text, (size_t)size - 1)) return printf("reading %s\n", text);
    }
  }
  return 0;
}

static int prints(enum Datatype datatype, const void *element) {
  char text[MOST_NUMBER_CHARACTERS + 1], back[8];
  struct Number number;
  size_t size = number_print(datatype, element, text);
  if (size > MOST_NUMBER_CHARACTERS) return 0;
  text[size] = ',';
  if (!memcmp(text, "null", 4)) return datatype >= FP16;
  return number_read(text, text + size + 1, &number) == text + size &&
         number_store(&number, datatype, back) && !memcmp(back, element, datatype_size(datatype));
}

static int check_printing(void) {
  for (int i = 0; i < ROUNDS; ++i) {
    uint64_t bits = random_bits();
    double rounded = (double)(int32_t)bits / (double)(1u << (bits >> 32 & 31));
    float simple = (float)(int)(rounded * 100) / 100;
    for (enum Datatype datatype = UINT8; datatype <= FP64; ++datatype)
      if (!prints(datatype, &bits)) return printf("printing %s %llx\n", datatype_name(datatype), (unsigned long long)bits);
    if (!prints(FP32, &simple)) return printf("printing %a\n", (double)simple);
  }
  for (uint32_t half = 0; half < 0x10000; ++half) {
    uint16_t element = (uint16_t)half;
    if (!prints(FP16, &element)) return printf("printing half %x\n", half);
  }
  return 0;
}

int main(void) { return check_reading() || check_printing(); }

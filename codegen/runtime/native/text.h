/* Text that something else owns, and text that grows. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct Text {
  const char *start; /* not terminated; NULL where there is none */
  size_t size;
};

struct Text text_of(const char *word);
bool text_is(struct Text text, const char *word);
bool text_is_any_case(struct Text text, const char *word);
/* The value of a hexadecimal digit; -1 of what is none. */
int hex_digit(char c);
/* Bytes of the character at the front of a text that is not empty; 0 where it is no UTF-8. */
size_t utf8_size(const char *at, const char *end);

/* Grows as it is written to, and keeps its memory when cleared, unless that is far more than
 * it held of late. A write that finds no memory or would pass the limit leaves it as it is and
 * sets failed. */
struct Buffer {
  char *start;
  size_t size, capacity;
  size_t usual; /* about the most it held of late */
  size_t limit; /* the most it may hold; zero for no limit */
  bool failed;
};

void buffer_clear(struct Buffer *buffer);
void buffer_free(struct Buffer *buffer);
/* A place for further bytes, counted by buffer_took once written; NULL on failure. */
char *buffer_reserve(struct Buffer *buffer, size_t bytes);
void buffer_took(struct Buffer *buffer, size_t bytes);
void buffer_add(struct Buffer *buffer, const void *bytes, size_t size);
void buffer_print(struct Buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buffer_print_list(struct Buffer *buffer, const char *format, va_list list);
/* As a JSON string, quotes around it; what is no UTF-8 becomes U+FFFD. */
void buffer_quote(struct Buffer *buffer, struct Text text);

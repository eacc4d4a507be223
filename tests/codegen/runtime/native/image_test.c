/* Decodes one file. `pixels CHANNELS FILE [LIMIT]` prints the outcome, height and width and then
 * the pixels, `cuts CHANNELS FILE` the outcome of every shorter part of the file, a digit each,
 * and `time CHANNELS FILE TIMES` microseconds. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "image.h"

/* In memory of exactly its size, so that a sanitizer sees every access beyond. */
static struct Text read_part(FILE *file, size_t size) {
  char *start = malloc(size ? size : 1);
  rewind(file);
  if (!start || fread(start, 1, size, file) != size) exit(2);
  return (struct Text){start, size};
}

static long microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int main(int argc, char **argv) {
  FILE *file = argc > 3 ? fopen(argv[3], "rb") : NULL;
  if (!file || fseek(file, 0, SEEK_END)) return 2;
  size_t size = (size_t)ftell(file);
  int channels = atoi(argv[2]);
  long number = argc > 4 ? atol(argv[4]) : 0;
  struct Buffer pixels = {.limit = 0};
  int64_t height = -1, width = -1;

  if (strcmp(argv[1], "pixels") == 0) {
    pixels.limit = (size_t)number;
    struct Text whole = read_part(file, size);
    enum ImageOutcome outcome = image_decode(whole, channels, &pixels, &height, &width);
    printf("%d %" PRId64 " %" PRId64 "\n", (int)outcome, height, width);
    if (pixels.size) fwrite(pixels.start, 1, pixels.size, stdout);
    free((char *)whole.start);
  }
  for (size_t part = 0; strcmp(argv[1], "cuts") == 0 && part < size; ++part) {
    struct Text start = read_part(file, part);
    printf("%d", (int)image_decode(start, channels, &pixels, &height, &width));
    free((char *)start.start);
  }
  for (long i = 0; strcmp(argv[1], "time") == 0 && i < number; ++i) {
    struct Text whole = read_part(file, size);
    long before = microseconds();
    image_decode(whole, channels, &pixels, &height, &width);
    printf("%ld\n", microseconds() - before);
    free((char *)whole.start);
  }
  fclose(file);
  buffer_free(&pixels);
  return 0;
}

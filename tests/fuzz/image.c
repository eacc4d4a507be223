/* Any file to pixels, gray and in colour: both agree on what it is. */
#include "image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct Text file = {(const char *)data, size};
  struct Buffer gray = {.limit = 1 << 24}, colour = {.limit = 1 << 24};
  int64_t height = -1, width = -1, rows = -1, columns = -1;
  enum ImageOutcome outcome = image_decode(file, 1, &gray, &height, &width);
  if (image_decode(file, 3, &colour, &rows, &columns) != outcome) abort();
  if (rows != height || columns != width) abort();
  size_t pixels = outcome == IMAGE_DONE ? (size_t)(height * width) : 0;
  if (gray.size != pixels || colour.size != 3 * pixels) abort();
  buffer_free(&gray);
  buffer_free(&colour);
  return 0;
}

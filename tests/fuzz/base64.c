/* Fuzzes base64: what is decoded and encoded again decodes to the same. */
#include "base64.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool decode(struct Text text, char **place, size_t *size) {
  ptrdiff_t bytes = base64_size(text);
  *size = bytes < 0 ? 0 : (size_t)bytes;
  *place = malloc(*size ? *size : 1);
  return bytes >= 0 && base64_decode(text, *place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct Buffer written = {0};
  char *once, *twice;
  size_t size_once, size_twice;
  if (decode((struct Text){(const char *)data, size}, &once, &size_once)) {
    base64_encode(&written, once, size_once);
    bool same = decode((struct Text){written.start, written.size}, &twice, &size_twice) &&
                written.size == size && size_twice == size_once && !memcmp(once, twice, size_once);
    if (!same) abort();
    free(twice);
  }
  free(once);
  buffer_free(&written);
  return 0;
}

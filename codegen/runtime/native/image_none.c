/* For packages whose model takes no images: they are refused before anything is decoded. */
#include "image.h"

enum ImageOutcome image_decode(struct Text file, int channels, struct Buffer *pixels,
                               int64_t *height, int64_t *width) {
  (void)file, (void)channels, (void)pixels, (void)height, (void)width;
  return IMAGE_BROKEN;
}

/* Decodes images; in packages that take none, image_none.c stands in for the decoder. */
#ifndef SUTURE_IMAGE_H
#define SUTURE_IMAGE_H

#include <stdint.h>

#include "text.h"

enum { MOST_PIXELS = 64000000 };

enum ImageOutcome { IMAGE_DONE, IMAGE_BROKEN, IMAGE_TOO_LARGE, IMAGE_NO_MEMORY };

/* Decodes a file to packed rows of 8 bits a channel, in a buffer that it clears: 1 channel of
 * gray or 3 of RGB, whatever the file has. IMAGE_TOO_LARGE beyond MOST_PIXELS, before memory is
 * taken for them. */
enum ImageOutcome image_decode(struct Text file, int channels, struct Buffer *pixels,
                               int64_t *height, int64_t *width);

#endif

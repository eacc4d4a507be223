/* Pictures in files to pixels: JPEG, baseline and progressive, and PNG of every kind. */
#pragma once

#include <stdint.h>

#include "text.h"

enum { IMAGE_MOST_PIXELS = 64000000 };

enum ImageOutcome { IMAGE_DONE, IMAGE_BROKEN, IMAGE_TOO_LARGE, IMAGE_NO_MEMORY };

/* Replaces what pixels holds by rows of 8-bit gray (one channel) or RGB (three), without gaps;
 * by nothing unless the outcome is IMAGE_DONE. Alpha is dropped and gray is ITU-R 601-2's luma,
 * both as Pillow does. Takes room for 4 bytes a pixel in the buffer, whose limit must allow it.
 * IMAGE_TOO_LARGE is more than IMAGE_MOST_PIXELS; IMAGE_BROKEN any other file, or one cut short. */
enum ImageOutcome image_decode(struct Text file, int channels, struct Buffer *pixels,
                               int64_t *height, int64_t *width);

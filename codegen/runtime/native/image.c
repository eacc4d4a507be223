/* Pictures by Wuffs, a decoder in a language whose compiler proves every access within bounds.
 *
 * Its C code is one file, of which only these modules and this one format of pixels are
 * compiled, as part of this file: what is not called is left out.
 */
#define WUFFS_IMPLEMENTATION
#define WUFFS_CONFIG__STATIC_FUNCTIONS
#define WUFFS_CONFIG__MODULES
#define WUFFS_CONFIG__MODULE__ADLER32
#define WUFFS_CONFIG__MODULE__BASE
#define WUFFS_CONFIG__MODULE__CRC32
#define WUFFS_CONFIG__MODULE__DEFLATE
#define WUFFS_CONFIG__MODULE__JPEG
#define WUFFS_CONFIG__MODULE__PNG
#define WUFFS_CONFIG__MODULE__ZLIB
#define WUFFS_CONFIG__DST_PIXEL_FORMAT__ENABLE_ALLOWLIST
#define WUFFS_CONFIG__DST_PIXEL_FORMAT__ALLOW_BGRA_NONPREMUL
#include <wuffs.c>

#include "image.h"

/* A JPEG spends a bit or more on every 8 by 8 pixels. Wuffs clears memory for all coefficients
 * of a progressive one before it reads the first: a short file must not ask for much. */
enum { JPEG_MOST_PIXELS_PER_BYTE = 512 };
enum { BYTES_PER_PIXEL = 4 }; /* blue, green, red, alpha */

static const char PNG[] = "\x89PNG\r\n\x1a\n";
static const char JPEG[] = "\xff\xd8\xff";
enum { PNG_SIGNATURE = 8, JPEG_SIGNATURE = 3 };
enum { PNG_CHUNK_FRAME = 12, PNG_ANCILLARY = 0x20 }; /* length, name and checksum; a small letter */

static uint32_t big_endian(const char *bytes) {
  return wuffs_base__peek_u32be__no_bounds_check((const uint8_t *)bytes);
}

static bool starts_with(struct Text file, const char *signature, size_t size) {
  return file.size >= size && memcmp(file.start, signature, size) == 0;
}

static enum ImageOutcome decode_frame(wuffs_base__image_decoder *decoder,
                                      wuffs_base__io_buffer *source, uint32_t width,
                                      uint32_t height, uint8_t *pixels) {
  wuffs_base__pixel_config config = wuffs_base__null_pixel_config();
  wuffs_base__pixel_config__set(&config, WUFFS_BASE__PIXEL_FORMAT__BGRA_NONPREMUL,
                                WUFFS_BASE__PIXEL_SUBSAMPLING__NONE, width, height);
  wuffs_base__pixel_buffer frame = wuffs_base__null_pixel_buffer();
  size_t size = (size_t)width * height * BYTES_PER_PIXEL;
  wuffs_base__status status = wuffs_base__pixel_buffer__set_from_slice(
      &frame, &config, wuffs_base__make_slice_u8(pixels, size));
  if (!wuffs_base__status__is_ok(&status)) return IMAGE_BROKEN;

  uint64_t work = wuffs_base__image_decoder__workbuf_len(decoder).min_incl;
  uint8_t *space = malloc(work ? work : 1);
  if (!space) return IMAGE_NO_MEMORY;
  status = wuffs_base__image_decoder__decode_frame(decoder, &frame, source,
                                                   WUFFS_BASE__PIXEL_BLEND__SRC,
                                                   wuffs_base__make_slice_u8(space, work), NULL);
  free(space);
  return wuffs_base__status__is_ok(&status) ? IMAGE_DONE : IMAGE_BROKEN;
}

static uint8_t luma(uint32_t red, uint32_t green, uint32_t blue) {
  return (uint8_t)((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16);
}

/* In place: a packed pixel never lies beyond the one it is made of. */
static void pack(uint8_t *pixels, size_t count, int channels) {
  const uint8_t *from = pixels;
  if (channels == 1) {
    for (size_t i = 0; i < count; ++i, from += BYTES_PER_PIXEL)
      pixels[i] = luma(from[2], from[1], from[0]);
    return;
  }
  for (size_t i = 0; i < count; ++i, from += BYTES_PER_PIXEL, pixels += 3) {
    uint8_t blue = from[0], green = from[1], red = from[2];
    pixels[0] = red, pixels[1] = green, pixels[2] = blue;
  }
}

static enum ImageOutcome decode(wuffs_base__image_decoder *decoder, struct Text file,
                                size_t most_pixels, int channels, struct Buffer *pixels,
                                int64_t *height, int64_t *width) {
  wuffs_base__io_buffer source =
      wuffs_base__ptr_u8__reader((uint8_t *)(uintptr_t)file.start, file.size, true);
  wuffs_base__image_config image = wuffs_base__null_image_config();
  wuffs_base__status status =
      wuffs_base__image_decoder__decode_image_config(decoder, &image, &source);
  if (!wuffs_base__status__is_ok(&status)) return IMAGE_BROKEN;

  uint32_t columns = wuffs_base__pixel_config__width(&image.pixcfg);
  uint32_t rows = wuffs_base__pixel_config__height(&image.pixcfg);
  uint64_t count = (uint64_t)columns * rows;
  if (count > IMAGE_MOST_PIXELS) return IMAGE_TOO_LARGE;
  if (count == 0 || count > most_pixels) return IMAGE_BROKEN;

  char *place = buffer_reserve(pixels, count * BYTES_PER_PIXEL);
  if (!place) return IMAGE_NO_MEMORY;
  enum ImageOutcome outcome = decode_frame(decoder, &source, columns, rows, (uint8_t *)place);
  if (outcome != IMAGE_DONE) return outcome;
  pack((uint8_t *)place, count, channels);
  buffer_took(pixels, count * (size_t)channels);
  *height = rows, *width = columns;
  return IMAGE_DONE;
}

/* A copy of a PNG with only critical chunks before its pixels. Others would have Wuffs turn
 * transparent colours to black, or show the first frame of an animation for the picture. */
static struct Text critical_chunks(struct Text file) {
  char *copy = malloc(file.size);
  if (!copy) return (struct Text){NULL, 0};
  size_t kept = 0, at = 0, size = PNG_SIGNATURE; /* of the signature, then of each chunk */
  bool critical = true;
  do {
    if (critical) memcpy(copy + kept, file.start + at, size), kept += size;
    at += size;
    if (file.size - at < PNG_CHUNK_FRAME) break;
    size = PNG_CHUNK_FRAME + (size_t)big_endian(file.start + at);
    critical = !(file.start[at + 4] & PNG_ANCILLARY);
  } while (size <= file.size - at && memcmp(file.start + at + 4, "IDAT", 4) != 0);
  memcpy(copy + kept, file.start + at, file.size - at);
  return (struct Text){copy, kept + file.size - at};
}

static enum ImageOutcome decode_png(struct Text file, int channels, struct Buffer *pixels,
                                    int64_t *height, int64_t *width) {
  wuffs_base__image_decoder *decoder = wuffs_png__decoder__alloc_as__wuffs_base__image_decoder();
  struct Text picture = critical_chunks(file);
  enum ImageOutcome outcome = IMAGE_NO_MEMORY;
  if (decoder && picture.start)
    outcome = decode(decoder, picture, IMAGE_MOST_PIXELS, channels, pixels, height, width);
  free((char *)(uintptr_t)picture.start);
  free(decoder);
  return outcome;
}

static enum ImageOutcome decode_jpeg(struct Text file, int channels, struct Buffer *pixels,
                                     int64_t *height, int64_t *width) {
  wuffs_base__image_decoder *decoder = wuffs_jpeg__decoder__alloc_as__wuffs_base__image_decoder();
  if (!decoder) return IMAGE_NO_MEMORY;
  size_t most = IMAGE_MOST_PIXELS;
  if (file.size < most / JPEG_MOST_PIXELS_PER_BYTE) most = file.size * JPEG_MOST_PIXELS_PER_BYTE;
  enum ImageOutcome outcome = decode(decoder, file, most, channels, pixels, height, width);
  free(decoder);
  return outcome;
}

enum ImageOutcome image_decode(struct Text file, int channels, struct Buffer *pixels,
                               int64_t *height, int64_t *width) {
  buffer_clear(pixels);
  if (starts_with(file, PNG, PNG_SIGNATURE))
    return decode_png(file, channels, pixels, height, width);
  if (starts_with(file, JPEG, JPEG_SIGNATURE))
    return decode_jpeg(file, channels, pixels, height, width);
  return IMAGE_BROKEN;
}

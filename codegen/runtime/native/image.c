/* Pictures by Wuffs, decoders in a language whose compiler proves every access within bounds.
 *
 * Its C code is one file, of which only these modules and this one format of pixels are
 * compiled, as part of this file: what is not called is left out. Wuffs's tables of functions
 * and its initializers, which name all there is, are therefore not used.
 */
#define WUFFS_IMPLEMENTATION
#define WUFFS_NONMONOLITHIC /* CRC-32 is declared, and defined here */
#define WUFFS_CONFIG__MODULES
#define WUFFS_CONFIG__MODULE__ADLER32
#define WUFFS_CONFIG__MODULE__BASE
#define WUFFS_CONFIG__MODULE__DEFLATE
#define WUFFS_CONFIG__MODULE__JPEG
#define WUFFS_CONFIG__MODULE__PNG
#define WUFFS_CONFIG__MODULE__ZLIB
#define WUFFS_CONFIG__DST_PIXEL_FORMAT__ENABLE_ALLOWLIST
#define WUFFS_CONFIG__DST_PIXEL_FORMAT__ALLOW_BGRA_NONPREMUL

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <arm_neon.h>
#endif
#if defined(__AVX2__)
#define __PCLMUL__ /* Wuffs takes no AVX2 without; only its CRC-32 has that instruction */
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((internal_linkage)), \
                             apply_to = any(function, variable(is_global)))
#endif
#include <wuffs.c>
#if defined(__clang__)
#pragma clang attribute pop
#endif

#include "image.h"

/* A JPEG spends a bit or more on every 8 by 8 pixels. Wuffs clears memory for all coefficients
 * of a progressive one before it reads the first: a short file must not ask for much. */
enum { JPEG_MOST_PIXELS_PER_BYTE = 512 };
enum { BYTES_PER_PIXEL = 4 }; /* blue, green, red, alpha */

static const char PNG[] = "\x89PNG\r\n\x1a\n";
static const char JPEG[] = "\xff\xd8\xff";
enum { PNG_SIGNATURE = 8, JPEG_SIGNATURE = 3 };
enum { PNG_CHUNK_FRAME = 12, PNG_ANCILLARY = 0x20 }; /* length, name and checksum; a small letter */

/* CRC-32 of chunks (PNG specification, annex D), eight bytes at a time. In place of Wuffs's own,
 * whose tables of 16 KB would be in the file: these are computed. */
enum { CRC_BYTES = 8 };
static const uint32_t crc_polynomial = 0xedb88320;
static uint32_t crc_table[CRC_BYTES][256];

wuffs_base__status wuffs_crc32__ieee_hasher__initialize(wuffs_crc32__ieee_hasher *self, size_t size,
                                                        uint64_t version, uint32_t options) {
  (void)size, (void)version, (void)options;
  self->private_impl.f_state = 0;
  for (uint32_t i = 0; !crc_table[0][255] && i < 256; ++i) {
    uint32_t crc = i;
    for (int j = 0; j < CRC_BYTES; ++j) {
      for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? crc_polynomial : 0);
      crc_table[j][i] = crc;
    }
  }
  return wuffs_base__make_status(NULL);
}

uint32_t wuffs_crc32__ieee_hasher__update_u32(wuffs_crc32__ieee_hasher *self,
                                              wuffs_base__slice_u8 bytes) {
  uint32_t crc = ~self->private_impl.f_state;
  for (; bytes.len >= CRC_BYTES; bytes.len -= CRC_BYTES, bytes.ptr += CRC_BYTES) {
    uint64_t word = wuffs_base__peek_u64le__no_bounds_check(bytes.ptr) ^ crc;
    crc = 0;
    for (int j = CRC_BYTES; j-- > 0; word >>= 8) crc ^= crc_table[j][word & 255];
  }
  for (; bytes.len; --bytes.len) crc = crc >> 8 ^ crc_table[0][(crc ^ *bytes.ptr++) & 255];
  return self->private_impl.f_state = ~crc;
}

static uint32_t big_endian(const char *bytes) {
  return wuffs_base__peek_u32be__no_bounds_check((const uint8_t *)bytes);
}

static bool starts_with(struct Text file, const char *signature, size_t size) {
  return file.size >= size && memcmp(file.start, signature, size) == 0;
}

/* A decoder of either format. */
struct Decoder {
  bool is_png;
  union {
    wuffs_png__decoder png;
    wuffs_jpeg__decoder jpeg;
  };
};

/* As Wuffs's initializers do for a decoder of zeros. */
static void initialize(struct Decoder *decoder) {
  if (decoder->is_png) {
    wuffs_png__decoder *png = &decoder->png;
    png->private_impl.choosy_filter_1 = wuffs_png__decoder__filter_1__choosy_default;
    png->private_impl.choosy_filter_3 = wuffs_png__decoder__filter_3__choosy_default;
    png->private_impl.choosy_filter_4 = wuffs_png__decoder__filter_4__choosy_default;
    png->private_impl.choosy_filter_and_swizzle =
        wuffs_png__decoder__filter_and_swizzle__choosy_default;
    png->private_impl.f_zlib_is_dirty = true; /* has it initialized */
    png->private_impl.magic = WUFFS_BASE__MAGIC;
  } else {
    wuffs_jpeg__decoder *jpeg = &decoder->jpeg;
#if defined(__AVX2__)
    jpeg->private_impl.choosy_decode_idct = wuffs_jpeg__decoder__decode_idct_x86_avx2;
#else
    jpeg->private_impl.choosy_decode_idct = wuffs_jpeg__decoder__decode_idct__choosy_default;
#endif
    jpeg->private_impl.choosy_load_mcu_blocks_for_single_component =
        wuffs_jpeg__decoder__load_mcu_blocks_for_single_component__choosy_default;
    jpeg->private_impl.choosy_decode_mcu = wuffs_jpeg__decoder__decode_mcu__choosy_default;
    jpeg->private_impl.magic = WUFFS_BASE__MAGIC;
  }
}

static wuffs_base__status decode_config(struct Decoder *decoder, wuffs_base__image_config *image,
                                        wuffs_base__io_buffer *source) {
  return decoder->is_png ? wuffs_png__decoder__decode_image_config(&decoder->png, image, source)
                         : wuffs_jpeg__decoder__decode_image_config(&decoder->jpeg, image, source);
}

static uint64_t space_bytes(const struct Decoder *decoder) {
  return (decoder->is_png ? wuffs_png__decoder__workbuf_len(&decoder->png)
                          : wuffs_jpeg__decoder__workbuf_len(&decoder->jpeg))
      .min_incl;
}

static wuffs_base__status decode_frame(struct Decoder *decoder, wuffs_base__pixel_buffer *frame,
                                       wuffs_base__io_buffer *source, wuffs_base__slice_u8 space) {
  const wuffs_base__pixel_blend blend = WUFFS_BASE__PIXEL_BLEND__SRC;
  return decoder->is_png
             ? wuffs_png__decoder__decode_frame(&decoder->png, frame, source, blend, space, NULL)
             : wuffs_jpeg__decoder__decode_frame(&decoder->jpeg, frame, source, blend, space, NULL);
}

static enum ImageOutcome decode_pixels(struct Decoder *decoder, wuffs_base__io_buffer *source,
                                       uint32_t width, uint32_t height, uint8_t *pixels) {
  wuffs_base__pixel_config config = wuffs_base__null_pixel_config();
  wuffs_base__pixel_config__set(&config, WUFFS_BASE__PIXEL_FORMAT__BGRA_NONPREMUL,
                                WUFFS_BASE__PIXEL_SUBSAMPLING__NONE, width, height);
  wuffs_base__pixel_buffer frame = wuffs_base__null_pixel_buffer();
  size_t size = (size_t)width * height * BYTES_PER_PIXEL;
  wuffs_base__status status = wuffs_base__pixel_buffer__set_from_slice(
      &frame, &config, wuffs_base__make_slice_u8(pixels, size));
  if (!wuffs_base__status__is_ok(&status)) return IMAGE_BROKEN;

  uint64_t work = space_bytes(decoder);
  uint8_t *space = malloc(work ? work : 1);
  if (!space) return IMAGE_NO_MEMORY;
  status = decode_frame(decoder, &frame, source, wuffs_base__make_slice_u8(space, work));
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

static enum ImageOutcome decode(struct Decoder *decoder, struct Text file, size_t most_pixels,
                                int channels, struct Buffer *pixels, int64_t *height,
                                int64_t *width) {
  wuffs_base__io_buffer source =
      wuffs_base__ptr_u8__reader((uint8_t *)(uintptr_t)file.start, file.size, true);
  wuffs_base__image_config image = wuffs_base__null_image_config();
  initialize(decoder);
  wuffs_base__status status = decode_config(decoder, &image, &source);
  if (!wuffs_base__status__is_ok(&status)) return IMAGE_BROKEN;

  uint32_t columns = wuffs_base__pixel_config__width(&image.pixcfg);
  uint32_t rows = wuffs_base__pixel_config__height(&image.pixcfg);
  uint64_t count = (uint64_t)columns * rows;
  if (count > IMAGE_MOST_PIXELS) return IMAGE_TOO_LARGE;
  if (count == 0 || count > most_pixels) return IMAGE_BROKEN;

  char *place = buffer_reserve(pixels, count * BYTES_PER_PIXEL);
  if (!place) return IMAGE_NO_MEMORY;
  enum ImageOutcome outcome = decode_pixels(decoder, &source, columns, rows, (uint8_t *)place);
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

enum ImageOutcome image_decode(struct Text file, int channels, struct Buffer *pixels,
                               int64_t *height, int64_t *width) {
  const bool is_png = starts_with(file, PNG, PNG_SIGNATURE);
  size_t most = IMAGE_MOST_PIXELS;
  buffer_clear(pixels);
  if (!is_png) {
    if (!starts_with(file, JPEG, JPEG_SIGNATURE)) return IMAGE_BROKEN;
    if (file.size < most / JPEG_MOST_PIXELS_PER_BYTE) most = file.size * JPEG_MOST_PIXELS_PER_BYTE;
  }
  struct Decoder *decoder = calloc(1, sizeof *decoder);
  struct Text picture = is_png ? critical_chunks(file) : file;
  enum ImageOutcome outcome = IMAGE_NO_MEMORY;
  if (decoder && picture.start) {
    decoder->is_png = is_png;
    outcome = decode(decoder, picture, most, channels, pixels, height, width);
  }
  if (is_png) free((char *)(uintptr_t)picture.start);
  free(decoder);
  return outcome;
}

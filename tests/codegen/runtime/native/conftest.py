"""PNG files of every kind, of which Pillow writes only some."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
"""First row and column and steps between rows and columns of each pass."""


@pytest.fixture(scope="session")
def png():
    """What writes PNG files, and their parts."""
    return SimpleNamespace(file=png_file, chunk=chunk, header=header)


def chunk(kind, data):
    """Return a chunk with its length and checksum."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )


def header(width, height, depth=8, colour=2, interlaced=False):
    """Return the signature and the first chunk."""
    fields = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", fields)


def png_file(samples, colour, depth, *, interlaced=False, transparent=None, seed=0):
    """Return a file whose rows use all five filters.

    Args:
        samples: ``uint16[height, width, samples]``, each below ``2 ** depth``.
        colour: Colour type.
        depth: Bits of a sample.
        interlaced: Whether it comes in seven passes.
        transparent: What the tRNS chunk holds, if there is one.
        seed: Of the palette and the filters.
    """
    rng = np.random.default_rng(seed)
    height, width = samples.shape[:2]
    parts = [header(width, height, depth, colour, interlaced)]
    if colour == 3:
        parts.append(chunk(b"PLTE", rng.bytes(3 * 2**depth)))
    if transparent is not None:
        parts.append(chunk(b"tRNS", transparent))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        _filtered(samples[top::down, left::right], depth, rng)
        for top, left, down, right in passes
    )
    packed = zlib.compress(rows)
    half = len(packed) // 2
    parts += [
        chunk(b"IDAT", packed[:half]),
        chunk(b"IDAT", packed[half:]),
        chunk(b"IEND", b""),
    ]
    return b"".join(parts)


def _filtered(samples, depth, rng):
    """Return the rows of a pass, each after the number of its filter."""
    height, width = samples.shape[:2]
    if not height or not width:
        return b""
    flat = samples.reshape(height, -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8)
    else:
        bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=-1)
    step = max(1, samples.shape[2] * depth // 8)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]]).astype(int)
    left = np.pad(rows, ((0, 0), (step, 0)))[:, : rows.shape[1]].astype(int)
    corner = np.pad(above, ((0, 0), (step, 0)))[:, : rows.shape[1]]
    guess = left + above - corner
    distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
    paeth = np.choose(distances.argmin(0), [left, above, corner])
    guesses = (np.zeros_like(left), left, above, (left + above) // 2, paeth)
    chosen = rng.integers(0, 5, height)
    return b"".join(
        bytes([number]) + ((rows[y] - guesses[number][y]) % 256).astype(np.uint8).tobytes()
        for y, number in enumerate(chosen)
    )

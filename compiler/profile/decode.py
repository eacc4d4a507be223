"""Bytes of a request to an array; the only thing done outside the program."""

from __future__ import annotations

import io
import tokenize
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from suture.compiler.profile.base import Array
from suture.errors import Location, RequestError

MAX_PIXELS = 64_000_000
MODES = {"image/gray": "L", "image/rgb": "RGB"}
"""Pillow's mode for each kind of image."""


def decode(path: Path, kind: str) -> Array:
    """Return the data in a file.

    Args:
        path: An image that Pillow reads, a ``.npy`` array, or text in UTF-8.
        kind: ``image/gray`` gives ``(height, width)`` and ``image/rgb``
            ``(height, width, 3)``, both uint8; ``text`` a string array of no axes; anything
            else the array as it is.

    Raises:
        RequestError: The file is missing, broken, or not of this kind.
    """
    at = Location(str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RequestError(f"cannot be read: {error.strerror}", at=at) from error
    if data.startswith(b"\x93NUMPY"):
        try:
            return np.asarray(np.load(io.BytesIO(data), allow_pickle=False))
        except (ValueError, EOFError, TypeError, MemoryError, tokenize.TokenError) as error:
            raise RequestError(f"not a readable .npy file: {error}", at=at) from error
    if kind in MODES:
        return decode_image(data, kind, at)
    if kind.partition("/")[0] == "text":
        try:
            return np.array(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RequestError(f"not UTF-8: {error}", at=at) from error
    raise RequestError(
        f"no decoder turns this file into {kind}", at=at, hint="give a .npy file"
    )


def decode_image(data: bytes, kind: str, at: Location) -> Array:
    """Return an image as uint8, ``(height, width)`` or ``(height, width, 3)``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise RequestError(
                        f"{image.width}x{image.height} is more than {MAX_PIXELS} pixels", at=at
                    )
                return np.asarray(image.convert(MODES[kind]))
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        SyntaxError,
        ValueError,
    ) as error:
        raise RequestError(f"not a readable image: {error}", at=at) from error

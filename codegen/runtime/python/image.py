"""Bytes of an image to a tensor, with Pillow, imported when the first image arrives."""

import io

from .protocol import ProtocolError, Tensor, check_shape

MAX_PIXELS = 64_000_000
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM")


def decode(data, mode, spec):
    """Return an image as the UINT8 tensor an input takes.

    Args:
        data: Bytes of a JPEG, PNG or other file that Pillow reads.
        mode: Pillow's mode, ``L`` or ``RGB``.
        spec: The input, as in model.json.
    """
    import warnings

    from PIL import Image

    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ProtocolError(f"the image has more than {MAX_PIXELS} pixels", 413)
            pixels = image.convert(mode)
    except Image.DecompressionBombError as error:
        raise ProtocolError(f"the image has more than {MAX_PIXELS} pixels", 413) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ProtocolError(f"not a readable image: {error}") from error
    shape = [pixels.height, pixels.width] + ([] if mode == "L" else [3])
    check_shape(spec["name"], shape, spec)
    return Tensor("UINT8", shape, pixels.tobytes())

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from suture.compiler.profile.decode import MAX_PIXELS, decode
from suture.errors import RequestError

GREY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


@pytest.fixture
def saved(tmp_path):
    """Write bytes to a file."""

    def saved(content, name="request"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return saved


def encoded(pixels, form="PNG"):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def png_header(width, height):
    """The start of a PNG that says it has that many pixels, and holds none."""
    chunks = [b"\x89PNG\r\n\x1a\n"]
    size = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for name, data in ((b"IHDR", size), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + data))
        chunks += [struct.pack(">I", len(data)), name, data, crc]
    return b"".join(chunks)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_grey_images_keep_their_numbers(saved, form):
    data = decode(saved(encoded(GREY, form)), "image/gray")
    assert data.dtype == np.uint8
    np.testing.assert_array_equal(data, GREY)


def test_colour_images_keep_their_numbers(saved):
    np.testing.assert_array_equal(decode(saved(encoded(COLOUR)), "image/rgb"), COLOUR)


def test_a_jpeg_is_nearly_what_was_saved(saved):
    smooth = np.tile(np.arange(0, 240, 8, dtype=np.uint8), (20, 1))
    data = decode(saved(encoded(smooth, "JPEG")), "image/gray")
    assert np.abs(data.astype(int) - smooth).max() <= 4


def test_images_turn_into_the_wanted_mode(saved):
    grey = decode(saved(encoded(COLOUR)), "image/gray")
    np.testing.assert_allclose(grey, COLOUR @ [0.299, 0.587, 0.114], atol=1)
    colour = decode(saved(encoded(GREY)), "image/rgb")
    np.testing.assert_array_equal(colour, np.stack([GREY] * 3, axis=-1))


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint8"])
def test_arrays_come_as_they_are(saved, dtype):
    array = (COLOUR > 100).astype(dtype)
    data = decode(saved(npy(array)), "tensor")
    assert data.dtype == array.dtype
    np.testing.assert_array_equal(data, array)


def test_an_image_may_come_as_an_array(saved):
    np.testing.assert_array_equal(decode(saved(npy(GREY)), "image/gray"), GREY)


@pytest.mark.parametrize("text", ["", "naïve\nlines\n", "漢字"])
def test_text(saved, text):
    data = decode(saved(text.encode()), "text/any")
    assert (data.ndim, str(data)) == (0, text)


def test_a_missing_file(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: No such file") as caught:
        decode(tmp_path / "gone.png", "image/gray")
    assert caught.value.at.component.endswith("gone.png")


def test_a_folder(tmp_path):
    with pytest.raises(RequestError, match="cannot be read: Is a directory"):
        decode(tmp_path, "image/gray")


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", "image/gray", "not a readable image"),
        (b"no image", "image/rgb", "not a readable image"),
        (encoded(GREY)[:200], "image/gray", "not a readable image"),
        (encoded(GREY, "JPEG")[:-100], "image/gray", "not a readable image"),
        (npy(GREY)[:-1], "tensor", "not a readable .npy file"),
        (b"\x93NUMPY", "tensor", "not a readable .npy file"),
        (b"\x93NUMPY\x09\x00 what", "tensor", "not a readable .npy file"),
        (b"caf\xe9", "text", "not UTF-8"),
        (b"numbers", "tensor", "no decoder turns this file into tensor"),
    ],
)
def test_broken_files(saved, content, kind, message):
    path = saved(content)
    with pytest.raises(RequestError, match=message) as caught:
        decode(path, kind)
    assert caught.value.at.component == str(path)


def test_objects_are_not_unpickled(saved):
    stream = io.BytesIO()
    np.save(stream, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(RequestError, match="allow_pickle=False"):
        decode(saved(stream.getvalue()), "tensor")


@pytest.mark.parametrize("side", [8100, 10_000, 20_000, 60_000])
def test_a_huge_image_is_refused_before_it_is_decoded(saved, side):
    """Pillow itself warns of the second and refuses the others."""
    with pytest.raises(RequestError, match=f"is more than {MAX_PIXELS} pixels|bomb"):
        decode(saved(png_header(side, side)), "image/gray")


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr':'<f4','fortran_order':False,'shape':(1000000000000,),}\n",
        b"{'descr':'<f4','fortran_order':False,'shape':(99999999999,99999999999),}\n",
        b"{'descr':'<f4'",
        b"{[]:1}\n",
        b"(" * 100,
    ],
)
def test_an_array_whose_header_lies(saved, header):
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with pytest.raises(RequestError, match=r"not a readable \.npy file"):
        decode(saved(content), "tensor")


def test_spoilt_images_are_never_a_traceback(saved):
    """Any byte may be wrong, or the end may be missing; headers keep their sizes."""
    rng = np.random.default_rng(2)
    content = encoded(GREY)
    refused = 0
    for turn in range(300):
        spoilt = bytearray(content)
        spoilt[rng.integers(33, len(spoilt))] ^= int(rng.integers(1, 256))
        end = len(spoilt) if turn % 2 else int(rng.integers(33, len(spoilt)))
        try:
            data = decode(saved(bytes(spoilt[:end])), "image/gray")
        except RequestError:
            refused += 1
        else:
            assert data.shape == GREY.shape
    assert refused > 200

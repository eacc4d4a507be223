import numpy as np
import pytest
from PIL import Image

from suture.compiler.adapters.channels import LUMA, ToGray, ToRgb


@pytest.fixture
def rgb(port):
    return port("N", 3, "h", "w", layout="NCHW", kind="image/rgb")


@pytest.fixture
def gray(port):
    return port("N", 1, "h", "w", layout="NCHW", kind="image/gray")


def test_to_gray_computes(apply, rgb, rng):
    x = rng.random((2, 3, 4, 5), np.float32)
    y = apply(ToGray(), rgb, x)
    expected = np.tensordot(LUMA, x, axes=(0, 1))[:, None]
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_to_gray_is_what_pillow_does(apply, rgb, rng):
    pixels = rng.integers(0, 256, (8, 9, 3), np.uint8)
    y = apply(ToGray(), rgb, pixels.transpose(2, 0, 1)[None].astype(np.float32))
    luma = np.asarray(Image.fromarray(pixels).convert("L"))
    np.testing.assert_allclose(y[0, 0], luma, atol=1)


def test_to_rgb_computes(apply, gray, rng):
    x = rng.random((2, 1, 4, 5), np.float32)
    np.testing.assert_array_equal(apply(ToRgb(), gray, x), np.repeat(x, 3, axis=1))


def test_a_grey_image_survives_both(apply, gray, rgb, rng):
    x = rng.random((1, 1, 4, 5), np.float32)
    y = apply(ToGray(), rgb, apply(ToRgb(), gray, x))
    np.testing.assert_allclose(y, x, rtol=1e-5)


def test_they_apply_to_nchw_images_of_the_other_colour(port, rgb, gray):
    assert ToGray.propose(rgb, gray) == ToGray()
    assert ToRgb.propose(gray, rgb) == ToRgb()
    assert ToGray().output(rgb) == gray
    assert ToRgb().output(gray) == rgb


@pytest.mark.parametrize(
    "have", [{"layout": "NHWC"}, {"dtype": "uint8"}, {"kind": "image/gray"}]
)
def test_to_gray_declines(port, gray, have):
    wrong = port(1, 3, 8, 8, **{"layout": "NCHW", "kind": "image/rgb", **have})
    assert ToGray.propose(wrong, gray) is None


@pytest.mark.parametrize("have", [{"layout": "NHWC"}, {"layout": None}, {"kind": "image/rgb"}])
def test_to_rgb_declines(port, rgb, have):
    wrong = port(1, 1, 8, 8, **{"layout": "NCHW", "kind": "image/gray", **have})
    assert ToRgb.propose(wrong, rgb) is None

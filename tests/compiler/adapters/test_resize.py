import numpy as np
import pytest
from PIL import Image

from suture.compiler.adapters.resize import Resize


def along(x, size, axis):
    """Linear interpolation at half-pixel centres, the border repeated."""
    length = x.shape[axis]
    at = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, length - 1)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    return x.take(low, axis) * (1 - share) + x.take(high, axis) * share


@pytest.fixture
def free(port):
    return port("N", 3, "h", "w", layout="NCHW", kind="image/rgb")


@pytest.mark.parametrize("size", [(8, 8), (5, 9), (12, 3), (1, 1), (6, 7)])
def test_computes(apply, free, rng, size):
    x = rng.random((2, 3, 6, 7), np.float32)
    y = apply(Resize(*size), free, x)
    assert y.shape == (2, 3, *size)
    np.testing.assert_allclose(
        y, along(along(x, size[0], 2), size[1], 3), rtol=1e-5, atol=1e-6
    )


def test_enlarging_is_what_pillow_does(apply, free, rng):
    x = rng.random((1, 3, 6, 7), np.float32)
    y = apply(Resize(15, 11), free, x)
    for mine, channel in zip(y[0], x[0], strict=True):
        theirs = Image.fromarray(channel).resize((11, 15), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(mine, np.asarray(theirs), rtol=1e-5, atol=1e-5)


def test_leaves_the_other_axes_alone(free):
    leaves = Resize(4, 5).output(free)
    assert (leaves.shape, leaves.layout, leaves.kind) == (("N", 3, 4, 5), "NCHW", "image/rgb")


@pytest.mark.parametrize("size", [("h", "w"), (16, 32), (32, 16)])
def test_applies_to_another_or_unknown_size(port, size):
    have = port(1, 1, *size, layout="NCHW")
    assert Resize.propose(have, port("N", 1, 32, 32, layout="NCHW")) == Resize(32, 32)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ({"shape": (1, 1, 32, 32)}, {}),
        ({}, {"shape": ("N", 1, "h", 32)}),
        ({"layout": "NHWC"}, {}),
        ({"dtype": "uint8"}, {}),
        ({"kind": "tensor"}, {}),
        ({}, {"layout": None}),
    ],
)
def test_declines(port, have, want):
    def make(shape, more):
        more = dict(more)
        return port(*more.pop("shape", shape), **{"layout": "NCHW", **more})

    assert Resize.propose(make((1, 1, 8, 8), have), make(("N", 1, 32, 32), want)) is None

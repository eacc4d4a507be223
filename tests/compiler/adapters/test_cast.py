import numpy as np
import pytest

from suture.compiler.adapters.cast import Cast


@pytest.mark.parametrize("source", ["uint8", "int32", "int64", "float64", "float16", "bool"])
def test_computes(apply, port, source):
    x = np.array([[0, 1, 7], [2, 100, 127]]).astype(source)
    y = apply(Cast("float32"), port(2, 3, dtype=source), x)
    np.testing.assert_array_equal(y, x.astype(np.float32))


def test_free_dimensions_stay_free(apply, port):
    have = port("h", "w", dtype="uint8", layout="HW", span=(0, 255))
    leaves = Cast("float32").output(have)
    assert (leaves.shape, leaves.layout, leaves.range) == (("h", "w"), "HW", (0, 255))
    x = np.arange(6, dtype=np.uint8).reshape(2, 3)
    np.testing.assert_array_equal(apply(Cast("float32"), have, x), x)


@pytest.mark.parametrize(
    ("have", "want", "made"),
    [
        ("uint8", "float32", Cast("float32")),
        ("float32", "float16", Cast("float16")),
        ("float32", "float32", None),
        ("float32", "uint8", None),
        ("int64", "int32", None),
    ],
)
def test_only_towards_floating_point(port, have, want, made):
    assert Cast.propose(port(2, dtype=have), port(2, dtype=want)) == made

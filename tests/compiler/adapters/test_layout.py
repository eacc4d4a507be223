import numpy as np
import pytest

from suture.compiler.adapters.layout import Layout


@pytest.mark.parametrize(
    ("source", "target", "shape", "expected"),
    [
        ("HWC", "NCHW", (4, 5, 3), lambda x: x.transpose(2, 0, 1)[None]),
        ("NHWC", "NCHW", (2, 4, 5, 3), lambda x: x.transpose(0, 3, 1, 2)),
        ("NCHW", "NHWC", (2, 3, 4, 5), lambda x: x.transpose(0, 2, 3, 1)),
        ("HW", "NCHW", (4, 5), lambda x: x[None, None]),
        ("WH", "NCHW", (4, 5), lambda x: x.T[None, None]),
        ("HW", "HWC", (4, 5), lambda x: x[..., None]),
        ("C", "NCHW", (3,), lambda x: x[None, :, None, None]),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_computes(apply, port, rng, source, target, shape, expected, dtype):
    x = rng.integers(0, 256, shape).astype(dtype)
    y = apply(Layout(source, target), port(*shape, layout=source, dtype=dtype), x)
    np.testing.assert_array_equal(y, expected(x))


def test_free_dimensions_move_with_their_axes(apply, port, rng):
    have = port("h", "w", 3, layout="HWC", kind="image/rgb", span=(0, 1))
    leaves = Layout("HWC", "NCHW").output(have)
    assert (leaves.shape, leaves.layout) == ((1, 3, "h", "w"), "NCHW")
    assert (leaves.kind, leaves.range) == ("image/rgb", (0, 1))
    assert apply(Layout("HWC", "NCHW"), have, np.ones((6, 7, 3), np.float32)).shape == (
        1,
        3,
        6,
        7,
    )


def test_only_as_many_nodes_as_it_takes(port):
    def ops(source, target, *shape):
        model = Layout(source, target).build(port(*shape, layout=source))
        return [node.op_type for node in model.graph if node.op_type != "Constant"]

    assert ops("HWC", "NCHW", 4, 5, 3) == ["Transpose", "Unsqueeze"]
    assert ops("NHWC", "NCHW", 1, 4, 5, 3) == ["Transpose"]
    assert ops("HW", "NCHW", 4, 5) == ["Unsqueeze"]


def test_applies_where_axes_are_named(port):
    have, want = port(8, 8, layout="HW"), port("N", 1, 8, 8, layout="NCHW")
    assert Layout.propose(have, want) == Layout("HW", "NCHW")


@pytest.mark.parametrize(
    ("have", "want"),
    [("HW", "HW"), ("NCHW", "HW"), (None, "NCHW"), ("HW", None), ("HWT", "NCHW")],
)
def test_declines(port, have, want):
    shapes = {layout: (8,) * len(layout or "") for layout in (have, want)}
    mine, wanted = (port(*shapes[layout], layout=layout) for layout in (have, want))
    assert Layout.propose(mine, wanted) is None


def test_declines_a_layout_that_does_not_name_each_axis(port):
    assert Layout.propose(port(8, 8, 8, layout="HW"), port(1, 1, 8, 8, layout="NCHW")) is None

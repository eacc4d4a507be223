import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.resize import MOST_LINE_BYTES, Resize, ResizeShape


def expected(image, rows, columns, linear):
    """Rows, then columns, each by a matrix."""
    made = image
    for axis, places in ((1, rows), (2, columns)):
        size = image.shape[axis]
        matrix = np.zeros((len(places), size))
        for at, place in enumerate(places):
            first = int(place)
            matrix[at, first] = 1.0 if not linear else 1.0 - (place - first)
            if linear and place > first:
                matrix[at, first + 1] += place - first
        made = np.moveaxis(np.tensordot(matrix, made, (1, axis)), 0, axis)
    return made.astype(np.float32)


def check(schedule, shape, processor, run, block, seed=0):
    vectors, target = processor
    rng = np.random.default_rng(seed)
    channels = shape.blocks * vectors.lanes
    image = rng.uniform(-9, 9, (channels, shape.height, shape.width)).astype(np.float32)
    places = [
        np.sort(rng.uniform(0, size - 1, count))
        for size, count in ((shape.height, shape.rows), (shape.width, shape.columns))
    ]
    if not shape.linear:
        places = [np.rint(each) for each in places]
    tables = [np.stack([np.floor(p), p - np.floor(p)]).astype(np.float32) for p in places]
    out = (shape.blocks, shape.rows, shape.columns, vectors.lanes)
    kernel = schedule.kernel(shape)
    made = run(kernel, [block(image, vectors), *tables], out, target)
    plain = made.transpose(0, 3, 1, 2).reshape(channels, shape.rows, shape.columns)
    wanted = expected(image, *places, shape.linear)
    np.testing.assert_allclose(plain, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("linear", [True, False])
def test_every_value_computes_the_right_answer(linear, processor, run, block):
    shape = ResizeShape(blocks=2, height=5, width=7, rows=11, columns=9, linear=linear)
    space = Resize.space(shape, processor[0])
    assert len(set(space)) == len(space) == 1 + linear
    for schedule in space:
        check(schedule, shape, processor, run, block)


@settings(max_examples=8, deadline=None)
@given(
    blocks=st.integers(1, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    linear=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_shape(processor, run, block, seed, **given_shape):
    shape = ResizeShape(**given_shape)
    check(Resize.space(shape, processor[0])[0], shape, processor, run, block, seed)


def test_long_lines_and_narrow_outputs_are_mixed_where_they_are_read(processor):
    vectors, _ = processor
    sizes = {"blocks": 1, "height": 4, "rows": 8, "linear": True}
    long = ceil_div(MOST_LINE_BYTES, 4 * vectors.lanes) + 1
    wide = ResizeShape(width=long, columns=2 * long, **sizes)
    assert Resize.space(wide, vectors) == (Resize(vectors.lanes, 1, False),)
    narrow = ResizeShape(width=50, columns=10, **sizes)
    assert [way.line for way in Resize.space(narrow, vectors)] == [False, True]

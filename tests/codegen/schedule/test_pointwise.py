import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import Epilogue, ceil_div
from suture.codegen.schedule.pointwise import PointwiseConv, PointwiseShape

SHAPES = {
    "ragged": PointwiseShape(channels=20, filters=24, pixels=35, clipped=True),
    "one pixel": PointwiseShape(channels=3, filters=5, pixels=1, clipped=True),
    "not clipped": PointwiseShape(channels=16, filters=48, pixels=13, clipped=False),
}


def check(tile, shape, processor, run, block, *, seed=0):
    """Compare a tile on seeded numbers with the same in double precision."""
    vectors, target = processor
    rng = np.random.default_rng(seed)
    image = rng.standard_normal((shape.channels, shape.pixels)).astype(np.float32)
    scale, shift = rng.standard_normal((2, shape.channels)).astype(np.float32)
    weights = rng.standard_normal((shape.filters, shape.channels, 1, 1)).astype(np.float32)
    bias = rng.standard_normal(shape.filters).astype(np.float32)
    residual = rng.standard_normal((shape.filters, shape.pixels)).astype(np.float32)
    prepared = image.astype(np.float64) * scale[:, None] + shift[:, None]
    if shape.clipped:
        prepared = np.maximum(prepared, 0)
    wanted = np.clip(weights[:, :, 0, 0] @ prepared + bias[:, None] + residual, -1, 2)

    def whole(vector):
        return np.pad(vector, (0, -vector.size % vectors.lanes))

    blocks = ceil_div(shape.filters, vectors.lanes)
    epilogue = Epilogue(bias=True, residual=True, activation="clip", low=-1.0, high=2.0)
    arrays = [
        block(image[:, None], vectors),
        whole(scale),
        whole(shift),
        tile.pack(weights, shape, vectors),
        whole(bias),
        block(residual[:, None], vectors),
    ]
    kernel = tile.kernel(shape, epilogue, vectors)
    out = run(kernel, arrays, (blocks, 1, shape.pixels, vectors.lanes), target)
    plain = out[:, 0].transpose(0, 2, 1).reshape(-1, shape.pixels)[: shape.filters]
    np.testing.assert_allclose(plain, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_every_tile_computes_the_right_answer(name, processor, run, block):
    shape = SHAPES[name]
    space = PointwiseConv.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    for tile in space[:3] + space[3::7]:
        check(tile, shape, processor, run, block)


def test_blocks_smaller_than_the_image(processor, run, block):
    shape = PointwiseShape(channels=9, filters=16, pixels=50, clipped=True)
    for rows, runs in ((4, 2), (3, 5), (6, 8), (5, 9)):
        tile = PointwiseConv(rows, processor[0].lanes, runs)
        check(tile, shape, processor, run, block)


@settings(max_examples=10, deadline=None)
@given(
    channels=st.integers(1, 30),
    filters=st.integers(1, 40),
    pixels=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_any_shape(processor, run, block, channels, filters, pixels, seed):
    shape = PointwiseShape(channels=channels, filters=filters, pixels=pixels, clipped=True)
    check(PointwiseConv.space(shape, processor[0])[0], shape, processor, run, block, seed=seed)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.base import Epilogue, ceil_div
from suture.codegen.schedule.gathered import GatheredConv, GatheredShape

SHAPES = {
    "groups end inside blocks": GatheredShape(channels=24, filters=68, groups=4, pixels=21),
    "small groups": GatheredShape(channels=15, filters=9, groups=3, pixels=10),
    "whole blocks": GatheredShape(channels=32, filters=64, groups=2, pixels=6),
    "one group": GatheredShape(channels=9, filters=17, groups=1, pixels=8),
    "one pixel": GatheredShape(channels=4, filters=4, groups=2, pixels=1),
}


def plain(out, filters):
    return out[:, 0].transpose(0, 2, 1).reshape(-1, out.shape[2])[:filters]


def check(tile, shape, processor, run, block, *, order=None, seed=0, spoil=None):
    """Run a tile on seeded numbers against the product of each group in double precision."""
    vectors, target = processor
    rng = np.random.default_rng(seed)
    seen, made = shape.channels // shape.groups, shape.filters // shape.groups
    image = rng.standard_normal((shape.channels, shape.pixels)).astype(np.float32)
    if spoil is not None:
        image[spoil] = np.inf
    weights = rng.standard_normal((shape.filters, seen, 1, 1)).astype(np.float32)
    bias = rng.standard_normal(shape.filters).astype(np.float32)
    residual = rng.standard_normal((shape.filters, shape.pixels)).astype(np.float32)
    read = image if order is None else image[order]
    with np.errstate(invalid="ignore"):
        sums = np.concatenate(
            [
                weights[g * made : (g + 1) * made, :, 0, 0].astype(np.float64)
                @ read[g * seen : (g + 1) * seen]
                for g in range(shape.groups)
            ]
        )
    wanted = np.maximum(sums + bias[:, None] + residual, 0)
    packed = tile.pack(weights, shape, vectors, order)
    blocks = ceil_div(shape.filters, vectors.lanes)
    whole = np.zeros(blocks * vectors.lanes, np.float32)
    whole[: shape.filters] = bias
    epilogue = Epilogue(bias=True, residual=True, activation="relu")
    out = run(
        tile.kernel(shape, epilogue, vectors),
        [
            block(image[:, None], vectors),
            packed.weights,
            packed.offsets,
            packed.segments,
            whole,
            block(residual[:, None], vectors),
        ],
        (blocks, 1, shape.pixels, vectors.lanes),
        target,
    )
    return plain(out, shape.filters), wanted


@pytest.mark.parametrize("name", SHAPES)
def test_every_tile_computes_the_right_answer(name, processor, run, block):
    shape = SHAPES[name]
    space = GatheredConv.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    for tile in space[:3] + space[3::6]:
        answer, wanted = check(tile, shape, processor, run, block)
        np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_two_threads_share_segments(name, two_threads, run, block):
    shape = SHAPES[name]
    tile = GatheredConv.space(shape, two_threads[0])[0]
    answer, wanted = check(tile, shape, two_threads, run, block)
    np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    groups=st.integers(1, 5),
    seen=st.integers(1, 9),
    made=st.integers(1, 19),
    pixels=st.integers(1, 20),
    seed=st.integers(0, 99),
)
def test_any_shape_and_order(processor, run, block, groups, seen, made, pixels, seed):
    shape = GatheredShape(
        channels=groups * seen, filters=groups * made, groups=groups, pixels=pixels
    )
    order = np.random.default_rng(seed).permutation(shape.channels)
    tile = GatheredConv.space(shape, processor[0])[0]
    answer, wanted = check(tile, shape, processor, run, block, order=order, seed=seed)
    np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-5)


def test_an_infinity_stays_in_its_group(processor, run, block):
    shape = SHAPES["groups end inside blocks"]
    tile = GatheredConv.space(shape, processor[0])[0]
    answer, wanted = check(tile, shape, processor, run, block, spoil=7)
    assert np.isfinite(wanted[:17]).all()
    np.testing.assert_array_equal(np.isfinite(answer[:17]), True)
    np.testing.assert_array_equal(np.isfinite(answer[34:]), True)
    assert not np.isfinite(answer[17:34]).all()


def test_segments_cover_each_filter_once():
    for shape in SHAPES.values():
        for columns in (8, 16, 24):
            covered = np.zeros(ceil_div(shape.filters, columns) * columns, int)
            for segment in GatheredConv(4, columns).segments(shape):
                begin = segment.tile * columns
                covered[begin + segment.low : begin + segment.high] += 1
            assert (covered[: shape.filters] == 1).all()
            assert (covered <= 1).all()

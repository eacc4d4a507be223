from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.attention import Attention, AttentionShape, Strided
from suture.codegen.schedule.base import Processor


def rows_of_heads(batch, heads, rows, size, *, width=None, offset=0):
    """``[batch, rows, heads * size]`` within rows of a width."""
    width = width or heads * size
    return Strided(
        extent=batch * rows * width, offset=offset, strides=(rows * width, size, width, 1)
    )


def whole(batch, heads, rows, size):
    """``[batch, heads, rows, size]``."""
    strides = (heads * rows * size, rows * size, size, 1)
    return Strided(extent=batch * heads * rows * size, offset=0, strides=strides)


def shape_of(batch=1, heads=2, queries=13, keys=13, size=16, depth=16, **given_parts):
    return AttentionShape(
        batch=batch,
        heads=heads,
        queries=queries,
        keys=keys,
        size=size,
        depth=depth,
        scale=0.3,
        query=rows_of_heads(batch, heads, queries, size),
        key=rows_of_heads(batch, heads, keys, size),
        value=rows_of_heads(batch, heads, keys, depth),
        result=rows_of_heads(batch, heads, queries, depth),
        **given_parts,
    )


def seen(buffer, where, sizes):
    """An operand as ``[batch, head, row, column]``."""
    strides = [stride * buffer.itemsize for stride in where.strides]
    return np.lib.stride_tricks.as_strided(buffer[where.offset :], sizes, strides)


def expected(shape, buffers):
    b, h, q, k = shape.batch, shape.heads, shape.queries, shape.keys
    query = seen(buffers[0], shape.query, (b, h, q, shape.size)).astype(np.float64)
    key = seen(buffers[1], shape.key, (b, h, k, shape.size))
    value = seen(buffers[2], shape.value, (b, h, k, shape.depth))
    scores = query @ key.swapaxes(2, 3) * shape.scale
    if shape.mask is not None:
        scores = scores + seen(buffers[3], shape.mask, (b, h, q, k))
    with np.errstate(invalid="ignore"):
        raised = np.exp(scores - scores.max(-1, keepdims=True))
    result = np.full(shape.result.extent, np.nan, np.float32)
    target = seen(result, shape.result, (b, h, q, shape.depth))
    target[...] = raised / raised.sum(-1, keepdims=True) @ value
    return result


def buffers_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    operands = [shape.query, shape.key, shape.value, *([shape.mask] if shape.mask else [])]
    return [rng.standard_normal(each.extent).astype(np.float32) for each in operands]


def check(schedule, shape, processor, run, buffers=None):
    vectors, target = processor
    buffers = buffers or buffers_of(shape)
    kernel = schedule.kernel(shape, vectors)
    out = run(kernel, buffers, (shape.result.extent,), target)
    np.testing.assert_allclose(out, expected(shape, buffers), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sizes", [(13, 21, 8, 24), (5, 32, 20, 12)])
def test_every_tile_computes_the_right_answer(processor, run, sizes):
    queries, keys, size, depth = sizes
    shape = shape_of(queries=queries, keys=keys, size=size, depth=depth)
    space = Attention.space(shape, processor[0])
    assert space
    assert len(set(space)) == len(space)
    for schedule in space[:3] + space[3::4]:
        check(schedule, shape, processor, run)


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_nothing(processor, run, threads):
    vectors, target = processor
    shape = shape_of(batch=1, heads=3, queries=26, keys=9)
    many = replace(vectors, threads=threads)
    check(Attention.space(shape, many)[0], shape, (many, target), run)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 2),
    heads=st.integers(1, 3),
    queries=st.integers(1, 20),
    keys=st.integers(1, 40),
    size=st.integers(1, 40),
    depth=st.integers(1, 40),
)
def test_any_shape(processor, run, **sizes):
    shape = shape_of(**sizes)
    check(Attention.space(shape, processor[0])[0], shape, processor, run)


def test_operands_side_by_side_and_heads_first(processor, run):
    joined = {
        name: rows_of_heads(2, 3, 10, 8, width=72, offset=24 * number)
        for number, name in enumerate(("query", "key", "value"))
    }
    shape = shape_of(batch=2, heads=3, queries=10, keys=10, size=8, depth=8)
    shape = replace(shape, **joined, result=whole(2, 3, 10, 8))
    buffer = buffers_of(shape)[0]
    best = Attention.space(shape, processor[0])[0]
    check(best, shape, processor, run, [buffer] * 3)


@pytest.mark.parametrize(
    ("extent", "strides"),
    [
        (13, (0, 0, 0, 1)),
        (13 * 13, (0, 0, 13, 1)),
        (2 * 13 * 13, (0, 169, 13, 1)),
        (1, (0, 0, 0, 0)),
        (13, (0, 0, 1, 0)),
    ],
)
def test_masks_of_any_shape(processor, run, extent, strides):
    shape = shape_of(mask=Strided(extent=extent, offset=0, strides=strides))
    check(Attention.space(shape, processor[0])[0], shape, processor, run)


def test_what_is_masked_out_and_what_is_not_a_number(processor, run):
    shape = shape_of(mask=Strided(extent=169, offset=0, strides=(0, 0, 13, 1)))
    buffers = buffers_of(shape)
    buffers[3][:] = 0
    buffers[3][13 * 2 + 5 :: 13] = -np.inf
    buffers[3][13 * 4 : 13 * 5] = -np.inf
    buffers[0][32 * 6] = np.nan
    check(Attention.space(shape, processor[0])[0], shape, processor, run, buffers)


def test_the_most_promising_tile_keeps_the_processor_busy():
    shape = shape_of(queries=128, keys=128, size=64, depth=64)
    best = Attention.space(shape, Processor(lanes=8, registers=16))[0]
    assert best.rows * best.columns // 8 >= 8

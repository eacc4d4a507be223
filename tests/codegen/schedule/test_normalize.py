from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.normalize import Normalize, NormShape


def expected(shape, x, factor, offset):
    x = x.astype(np.float64)
    mean = x.mean(1, keepdims=True) if shape.centred else 0.0
    scaled = (x - mean) / np.sqrt(((x - mean) ** 2).mean(1, keepdims=True) + shape.epsilon)
    if shape.channels:
        size = shape.columns // shape.channels
        factor, offset = (
            np.repeat(each.reshape(shape.rows, -1), size, axis=1) for each in (factor, offset)
        )
    return scaled * factor + (offset if shape.offset else 0)


def check(shape, processor, run):
    vectors, target = processor
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((shape.rows, shape.columns)) * 3 + 1).astype(np.float32)
    factor, offset = rng.standard_normal((2, shape.factors)).astype(np.float32)
    for schedule in Normalize.space(shape, vectors):
        arrays = [x, factor, offset] if shape.offset else [x, factor]
        out = run(schedule.kernel(shape), arrays, x.shape, target)
        wanted = expected(shape, x, factor, offset)
        np.testing.assert_allclose(out, wanted, rtol=1e-5, atol=3e-6)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 75), centred=st.booleans())
def test_rows(processor, run, rows, columns, centred):
    shape = NormShape(
        rows=rows, columns=columns, epsilon=1e-2, centred=centred, offset=centred
    )
    check(shape, processor, run)


@pytest.mark.parametrize(("channels", "size"), [(1, 49), (3, 16), (4, 9), (2, 1)])
def test_channels_have_factors_of_their_own(processor, run, channels, size):
    shape = NormShape(rows=3, columns=channels * size, epsilon=1e-2, channels=channels)
    check(shape, processor, run)


def test_not_a_number_stays_in_its_row(processor, run):
    vectors, target = processor
    shape = NormShape(rows=3, columns=20, epsilon=1e-5)
    x = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32)
    x[1, 17] = np.nan
    one, none = np.ones(20, np.float32), np.zeros(20, np.float32)
    kernel = Normalize.space(shape, vectors)[0].kernel(shape)
    out = run(kernel, [x, one, none], x.shape, target)
    assert np.isnan(out[1]).all()
    assert np.isfinite(out[[0, 2]]).all()


def test_threads_change_nothing(processor, run):
    vectors, target = processor
    shape = NormShape(rows=100, columns=300, epsilon=1e-5)
    check(shape, (replace(vectors, threads=2), target), run)

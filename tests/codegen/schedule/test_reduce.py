from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.reduce import Reduce, ReduceShape

WANTED = {
    "Sum": lambda x: x.sum(1),
    "Mean": lambda x: x.mean(1),
    "Max": lambda x: x.max(1),
    "Min": lambda x: x.min(1),
    "L1": lambda x: np.abs(x).sum(1),
    "L2": lambda x: np.sqrt((x * x).sum(1)),
    "SumSquare": lambda x: (x * x).sum(1),
}


def reduced(x, kind, processor, run):
    vectors, target = processor
    shape = ReduceShape(rows=x.shape[0], columns=x.shape[1], kind=kind)
    (schedule,) = Reduce.space(shape, vectors)
    return run(schedule.kernel(shape), [x], (shape.rows,), target)


@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 90), kind=st.sampled_from([*WANTED]))
def test_any_rows(processor, run, rows, columns, kind):
    x = np.random.default_rng(columns).standard_normal((rows, columns)).astype(np.float32)
    made = reduced(x, kind, processor, run)
    np.testing.assert_allclose(made, WANTED[kind](x.astype(np.float64)), rtol=2e-6, atol=3e-6)


@pytest.mark.parametrize("kind", WANTED)
def test_infinities_and_not_a_number(kind, processor, run):
    x = np.random.default_rng(0).standard_normal((4, 37)).astype(np.float32)
    x[0, 5], x[1, 36], x[2] = np.inf, -np.inf, -np.inf
    with np.errstate(invalid="ignore"):
        wanted = WANTED[kind](x)
    np.testing.assert_allclose(reduced(x, kind, processor, run), wanted, rtol=2e-6)
    x[0, 5] = np.nan
    x[3, 0] = np.nan
    made = reduced(x, kind, processor, run)
    assert np.isnan(made[3])
    # As in ONNX Runtime, an extreme passes over what is no number but for the first one.
    assert np.isnan(made[0]) == (kind not in ("Max", "Min"))


def test_threads_change_nothing(processor, run):
    vectors, target = processor
    x = np.random.default_rng(0).standard_normal((700, 300)).astype(np.float32)
    one = reduced(x, "Sum", (vectors, target), run)
    two = reduced(x, "Sum", (replace(vectors, threads=2), target), run)
    np.testing.assert_array_equal(one, two)

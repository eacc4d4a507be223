from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from suture.codegen.schedule.softmax import Softmax, SoftmaxShape


def check(x, processor, run, *, logarithm=False):
    vectors, target = processor
    shape = SoftmaxShape(rows=x.shape[0], columns=x.shape[1], logarithm=logarithm)
    wide = x.astype(np.float64)
    with np.errstate(invalid="ignore"):
        less = wide - wide.max(1, keepdims=True)
        total = np.exp(less).sum(1, keepdims=True)
    wanted = less - np.log(total) if logarithm else np.exp(less) / total
    for schedule in Softmax.space(shape, vectors):
        out = run(schedule.kernel(shape), [x], x.shape, target)
        np.testing.assert_allclose(out, wanted, rtol=2e-6, atol=5e-7 if logarithm else 1e-7)


@settings(max_examples=12, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 70),
    spread=st.sampled_from([0.1, 3.0, 60.0]),
    logarithm=st.booleans(),
)
def test_any_rows(processor, run, rows, columns, spread, logarithm):
    x = np.random.default_rng(columns).standard_normal((rows, columns)) * spread
    check(x.astype(np.float32), processor, run, logarithm=logarithm)


def test_infinities_and_not_a_number(processor, run):
    x = np.zeros((5, 21), np.float32)
    x[0, 3] = -np.inf
    x[1] = -np.inf
    x[2, 20] = np.nan
    x[3, 0] = np.nan
    x[4, 7] = np.inf
    check(x, processor, run)


def test_threads_change_nothing(processor, run):
    vectors, target = processor
    x = np.random.default_rng(0).standard_normal((100, 130)).astype(np.float32)
    check(x, (replace(vectors, threads=2), target), run)

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor

from suture.compiler.cost.boosting import Boosting, cuts


def data(rows=600, seed=0):
    """A smooth function, a product and a step of some of twelve columns, a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (rows, 12))
    x[:, 11] = rng.integers(0, 3, rows)
    y = np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + (x[:, 11] == 1) + rng.normal(0, 0.02, rows)
    return x, y


def error(model, x, y):
    return float(np.square(model.predict(x) - y).mean())


def test_a_known_function_is_learned():
    (x, y), (held, truth) = data(), data(seed=1)
    model = Boosting(rounds=150).fit(x, y)
    assert error(model, x, y) < 0.01 * y.var()
    assert error(model, held, truth) < 0.08 * truth.var()
    peer = HistGradientBoostingRegressor(
        max_iter=150, learning_rate=0.08, max_depth=5, min_samples_leaf=4, l2_regularization=1
    ).fit(x, y)
    assert error(model, held, truth) < 1.3 * error(peer, held, truth)


def test_training_error_never_rises():
    x, y = data(200)
    errors = [error(Boosting(rounds=n).fit(x, y), x, y) for n in (1, 2, 4, 8, 16, 32)]
    assert y.var() > errors[0]
    assert errors == sorted(errors, reverse=True)


def test_fitting_is_deterministic_and_seeded():
    x, y = data(200)
    some = Boosting(rounds=20, sampled=0.6)
    first, again = some.fit(x, y).predict(x), some.fit(x, y).predict(x)
    np.testing.assert_array_equal(first, again)
    other = replace(some, seed=1).fit(x, y).predict(x)
    assert not np.array_equal(first, other)


def test_a_step_is_found_exactly():
    x = np.arange(40.0)[:, None]
    y = np.where(x[:, 0] > 12.5, 3.0, -1.0)
    model = Boosting(rounds=200, depth=1, rate=0.5, ridge=0).fit(x, y)
    np.testing.assert_allclose(model.predict(x), y, atol=1e-12)
    np.testing.assert_allclose(
        model.predict(np.array([[12.6], [12.4], [99], [-9]])), [3, -1, 3, -1]
    )


def test_any_loss_with_two_derivatives_can_be_lessened():
    """Logistic loss: two classes on either side of a line."""
    x, _ = data(300)
    label = (x[:, 0] + x[:, 1] > 0).astype(float)

    def gradients(now):
        p = 1 / (1 + np.exp(-now))
        return p - label, p * (1 - p)

    model = Boosting(rounds=60, depth=3, rate=0.3).grow(x, gradients)
    assert ((model.predict(x) > 0) == label).mean() > 0.97


def test_no_leaf_is_smaller_than_asked():
    x, y = data(64)
    model = Boosting(rounds=1, depth=4, least=16, rate=1.0, ridge=0).fit(x, y)
    _, counts = np.unique(model.predict(x), return_counts=True)
    assert counts.min() >= 16


def test_nothing_learned_is_nothing_said():
    np.testing.assert_array_equal(Boosting().predict(np.ones((3, 2))), np.zeros(3))


@pytest.mark.parametrize("value", [0.0, -7.5])
def test_what_is_constant_is_learned_from_columns_that_are(value):
    model = Boosting(rounds=3).fit(np.ones((9, 2)), np.full(9, value))
    np.testing.assert_allclose(model.predict(np.zeros((2, 2))), value)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(2, 16))
def test_cuts_lie_between_values(values, bins):
    column = np.array(values)
    edges = cuts(column, bins)
    assert len(edges) < bins
    assert (np.diff(edges) >= 0).all()
    assert np.all((edges >= column.min()) & (edges <= column.max()))
    if len(np.unique(column)) <= bins and np.all(np.diff(np.unique(column)) > 1e-3):
        assert len(np.unique(np.searchsorted(edges, column))) == len(np.unique(column))

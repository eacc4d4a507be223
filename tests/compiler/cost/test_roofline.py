import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.cost.base import FEATURES, Work
from suture.compiler.cost.roofline import Roofline

TRUTH = Roofline(ms_per_flop=3e-8, ms_per_byte=4e-7, ms_per_node=5e-3)


def programs(count=60, seed=0):
    """Programs of all sizes, some bound by arithmetic, some by memory."""
    rng = np.random.default_rng(seed)
    flops, nbytes = 10 ** rng.uniform(4, 9, count), 10 ** rng.uniform(3, 8, count)
    return np.stack([flops, nbytes, rng.integers(1, 80, count)], axis=1)


def relative_error(model, features, latency_ms):
    return np.abs(model.predict(features) / latency_ms - 1)


def test_a_row_has_the_features_in_order():
    assert FEATURES == ("flops", "bytes", "nodes")
    assert Work(flops=1, nbytes=2, nodes=3).row.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("row", "latency_ms"),
    [
        ((2e9, 8, 0), 100),  # 20 GFLOP/s
        ((2, 8e9, 0), 1000),  # 8 GB/s
        ((0, 0, 50), 0.1),
        ((2e9, 8e8, 500), 100 + 1),  # arithmetic hides the memory, nodes add
    ],
)
def test_the_slower_of_arithmetic_and_memory(row, latency_ms):
    assert Roofline().predict(np.array([row], float))[0] == pytest.approx(latency_ms, rel=1e-6)


def test_fit_recovers_the_prices_of_a_machine():
    features = programs()
    busy = features[:, :2] * [TRUTH.ms_per_flop, TRUTH.ms_per_byte]
    assert 10 < (busy[:, 0] > busy[:, 1]).sum() < 50
    found = Roofline().fit(features, TRUTH.predict(features))
    assert found.ms_per_flop == pytest.approx(TRUTH.ms_per_flop, rel=1e-5)
    assert found.ms_per_byte == pytest.approx(TRUTH.ms_per_byte, rel=1e-5)
    assert found.ms_per_node == pytest.approx(TRUTH.ms_per_node, rel=1e-5)


def test_a_noisy_fit_predicts_programs_it_has_not_seen():
    features, unseen = programs(), programs(seed=1)
    noise = np.random.default_rng(2).lognormal(0, 0.1, len(features))
    found = Roofline().fit(features, TRUTH.predict(features) * noise)
    after = relative_error(found, unseen, TRUTH.predict(unseen))
    before = relative_error(Roofline(), unseen, TRUTH.predict(unseen))
    assert np.median(after) < 0.1 < np.median(before)


def test_fit_leaves_the_model_as_it_was():
    model = Roofline()
    model.fit(programs(), TRUTH.predict(programs()))
    assert model == Roofline()


def test_a_price_that_no_row_determines_stays():
    arithmetic = np.array([[1e8, 8.0, 0], [2e8, 8.0, 0], [4e8, 16.0, 0]])
    found = Roofline().fit(arithmetic, arithmetic[:, 0] * 1e-7)
    assert found.ms_per_flop == pytest.approx(1e-7)
    assert (found.ms_per_byte, found.ms_per_node) == (
        Roofline().ms_per_byte,
        Roofline().ms_per_node,
    )


def test_one_measurement_is_enough_to_be_right_about_it():
    features, latency_ms = np.array([[1e7, 1e5, 20.0]]), np.array([3.0])
    assert relative_error(Roofline().fit(features, latency_ms), features, latency_ms) < 1e-6


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e9), st.floats(0, 1e8), st.integers(1, 100), st.floats(1e-3, 1e3)
        ),
        min_size=1,
        max_size=12,
    )
)
def test_fit_is_never_worse_and_prices_stay_positive(rows):
    table = np.array(rows)
    features, latency_ms = table[:, :3], table[:, 3]
    found = Roofline().fit(features, latency_ms)
    assert min(found.ms_per_flop, found.ms_per_byte, found.ms_per_node) > 0
    squares = [
        np.square(relative_error(model, features, latency_ms)).mean()
        for model in (found, Roofline())
    ]
    assert squares[0] <= squares[1]

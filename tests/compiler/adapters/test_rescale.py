import numpy as np
import pytest

from suture.compiler.adapters.rescale import Rescale


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "spans",
    [((0, 255), (0, 1)), ((0, 1), (-1, 1)), ((-1, 1), (0, 255)), ((2, 4), (1, 0))],
)
def test_computes(apply, port, rng, spans, dtype):
    (low, high), (to_low, to_high) = spans
    x = rng.uniform(low, high, (3, 4)).astype(dtype)
    y = apply(
        Rescale(low, high, to_low, to_high), port(3, 4, span=(low, high), dtype=dtype), x
    )
    expected = np.interp(x, [low, high], [to_low, to_high])
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5 * max(abs(to_high), 1))


def test_ends_meet_ends(apply, port):
    x = np.array([0, 255], np.float32)
    y = apply(Rescale(0, 255, -1, 1), port(2, span=(0, 255)), x)
    np.testing.assert_allclose(y, [-1, 1], rtol=1e-5)


def test_an_offset_of_zero_costs_no_node(port):
    def ops(adapter):
        return [n.op_type for n in adapter.build(port(2)).graph if n.op_type != "Constant"]

    assert ops(Rescale(0, 255, 0, 1)) == ["Mul"]
    assert ops(Rescale(0, 255, -1, 1)) == ["Mul", "Add"]


def test_half_precision_stays_half(apply, port):
    y = apply(Rescale(0, 4, 0, 1), port(2, span=(0, 4), dtype="float16"), np.float16([2, 4]))
    np.testing.assert_array_equal(y, np.float16([0.5, 1]))


def test_applies_where_both_ranges_are_known_and_differ(port):
    have, want = port(2, span=(0, 255)), port(2, span=(0, 1))
    assert Rescale.propose(have, want) == Rescale(0, 255, 0, 1)
    assert Rescale.propose(have, want).output(have).range == (0, 1)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ({"span": (0, 1)}, {"span": (0, 1)}),
        ({}, {"span": (0, 1)}),
        ({"span": (0, 1)}, {}),
        ({"span": (0, 255), "dtype": "uint8"}, {"span": (0, 1), "dtype": "uint8"}),
        ({"span": (3, 3)}, {"span": (0, 1)}),
    ],
)
def test_declines(port, have, want):
    assert Rescale.propose(port(2, **have), port(2, **want)) is None

import numpy as np
import pytest

from suture.compiler.profile.analyze import analyze
from suture.errors import RequestError


def test_statistics_of_numbers():
    data = np.array([[0.0, 2.0, -4.0], [0.0, 6.0, 2.0]], np.float32)
    profile = analyze(data, "tensor/any")
    assert (profile.shape, profile.dtype, profile.bucket) == ((2, 3), "float32", "plain")
    assert profile.features == pytest.approx(
        {
            "elements": 6,
            "mean": 1.0,
            "std": float(data.std()),
            "min": -4,
            "max": 6,
            "zero_fraction": 1 / 3,
            "non_finite_fraction": 0,
        }
    )


def test_what_is_not_finite_is_counted_and_left_out():
    data = np.array([1.0, np.nan, np.inf, 3.0])
    features = analyze(data, "tensor").features
    assert (features["mean"], features["max"]) == (2, 3)
    assert features["non_finite_fraction"] == 0.5


def test_half_precision_does_not_overflow():
    data = np.full(10_000, 60_000, np.float16)
    assert analyze(data, "tensor").features["mean"] == pytest.approx(float(data[0]))


@pytest.mark.parametrize(
    ("data", "lost"), [(np.zeros((0, 3)), 0), (np.array([np.nan, np.nan]), 1)]
)
def test_nothing_to_measure(data, lost):
    features = analyze(data, "tensor").features
    assert (features["mean"], features["std"], features["max"]) == (0, 0, 0)
    assert (features["zero_fraction"], features["non_finite_fraction"]) == (0, lost)
    assert features["elements"] == data.size


@pytest.mark.parametrize(
    ("data", "mean"), [(np.array([True, False]), 0.5), (np.uint8(7), 7), (np.arange(5), 2)]
)
def test_any_numeric_type(data, mean):
    assert analyze(np.asarray(data), "tensor").features["mean"] == mean


@pytest.mark.parametrize("data", [np.array("word"), np.array([1j]), np.array([b"x"])])
def test_what_is_no_number_is_refused(data):
    with pytest.raises(RequestError, match="a tensor holds numbers, not"):
        analyze(data, "tensor")

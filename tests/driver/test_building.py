import numpy as np
import pytest

from suture.codegen.measure import Timings
from suture.driver.building import decide
from suture.errors import BackendError


def timings(tvm, ort):
    noise = np.linspace(0.99, 1.01, 9)
    return Timings({"tvm": tuple(tvm * noise), "ort": tuple(ort * noise)})


@pytest.mark.parametrize(
    ("tvm", "ort", "ships", "why"),
    [
        (1.0, 2.0, "tvm", "the faster one"),
        (2.0, 1.0, "ort", "the faster one"),
        (1.05, 1.0, "tvm", "as fast, and smaller"),
        (1.0, 1.05, "tvm", "as fast, and smaller"),
    ],
)
def test_the_faster_backend_ships(tvm, ort, ships, why):
    chosen, reason = decide(timings(tvm, ort), {}, "auto")
    assert chosen == ships
    assert why in reason


def test_a_backend_that_fails_is_named():
    only = Timings({"ort": (1.0, 1.0)})
    failed = {"tvm": BackendError("operator 'Det' is unknown")}
    chosen, reason = decide(only, failed, "auto")
    assert chosen == "ort"
    assert "tvm does not hold the model: operator 'Det' is unknown" in reason


def test_the_users_word_counts():
    assert decide(timings(9.0, 1.0), {}, "tvm") == ("tvm", "as asked for")

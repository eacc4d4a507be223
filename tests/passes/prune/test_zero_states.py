import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune import zero_states
from suture.passes.prune.zero_states import RemoveZeroStates

WEIGHTS = {"w": (1, 24, 3), "r": (1, 24, 6), "b": (1, 48)}
ZERO = np.zeros((1, 2, 6), np.float32)


def layer(states, more="", inputs="float[4,2,3] x"):
    lstm = f"[lstm] y = LSTM<hidden_size=6>(x, w, r, b, , {states})"
    return f"g ({inputs}) => (float[4,1,2,6] y) {{ {more} {lstm} }}"


def test_zeros_are_not_handed_over(parse, check):
    model = parse(layer("h, c"), **WEIGHTS, h=ZERO, c=ZERO)
    done = check(RemoveZeroStates(), model)
    assert done.made == [
        ("lstm", "h is zero, as it is by default"),
        ("lstm", "c is zero, as it is by default"),
    ]
    assert list(model.graph[0].inputs[5:]) == [None, None]


@pytest.mark.parametrize(
    "more",
    [
        "h = ConstantOfShape(size)",
        "h = ConstantOfShape<value=float[1] {0}>(size)",
        "h = Expand(nought, size)",
        "a = ConstantOfShape(turned) h = Transpose<perm=[1,0,2]>(a)",
    ],
)
def test_however_they_are_made(parse, check, more):
    numbers = {
        "size": np.array([1, 2, 6]),
        "turned": np.array([2, 1, 6]),
        "nought": np.zeros(1, np.float32),
    }
    given = {name: array for name, array in numbers.items() if name in more}
    done = check(RemoveZeroStates(), parse(layer("h", more), **WEIGHTS, **given))
    assert done.made == [("lstm", "h is zero, as it is by default")]


@pytest.mark.parametrize(
    ("more", "inputs"),
    [
        ("", "float[4,2,3] x, float[1,2,6] h"),
        ("h = ConstantOfShape<value=float[1] {1}>(size)", "float[4,2,3] x"),
        ("a = ConstantOfShape(size) h = Cos(a)", "float[4,2,3] x"),
    ],
)
def test_declines_other_states(parse, check, more, inputs):
    given = {"size": np.array([1, 2, 6])} if more else {}
    done = check(RemoveZeroStates(), parse(layer("h", more, inputs), **WEIGHTS, **given))
    assert done.declined == [("lstm", "h may be another state than zero")]
    assert done.made == []


def test_the_check_fails_a_state_that_is_not_zero(parse, check, monkeypatch):
    monkeypatch.setattr(zero_states, "is_zero", lambda value: True)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(RemoveZeroStates(), parse(layer("h"), **WEIGHTS, h=ZERO + 1))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["remove-zero-states"]) is RemoveZeroStates
    assert parse_pipeline("remove-zero-states") == (RemoveZeroStates(),)

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import clips
from suture.passes.fuse.clips import ComposeClips
from suture.passes.pipeline import parse_pipeline

NUMBERS = {
    "twice": np.float32([2, 2]),
    "minus": np.float32(-1),
    "zero": np.float32(0),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "two": np.float32(2),
    "six": np.float32(6),
    "bytes": np.float32(255),
    "many": (50,),
}


@pytest.fixture
def written(parse):
    def written(nodes, inputs="float[4,50] x", outputs="float[4,50] y"):
        read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
        given = {name: each for name, each in NUMBERS.items() if name in read}
        return parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", **given)

    return written


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("t = Clip(x, zero, two) y = Clip(t, minus, one)", ["Clip"]),
        ("t = Clip(x, zero, half) y = Clip(t, one, two)", ["Clip"]),
        ("t = Clip(x, one, two) y = Clip(t, minus, half)", ["Clip"]),
        ("t = Clip(x, two, half) y = Clip(t, minus, one)", ["Clip"]),
        ("t = Clip(x, two, half) y = Clip(t, one, six)", ["Clip"]),
        ("t = Relu(x) y = Clip(t, , six)", ["Clip"]),
        ("t = Max(x, zero) y = Min(six, t)", ["Clip"]),
        ("t = Max(zero, x) u = Relu(t) y = Exp(u)", ["Max", "Exp"]),
        ("t = Min(x, one) y = Max(t, two)", ["Clip"]),
        ("t = Clip(x, minus, six) y = Relu(t)", ["Clip"]),
        ("t = Clip(x, minus) y = Relu(t)", ["Relu"]),
        ("t = Relu(x) u = Relu(t) v = Relu(u) y = Exp(v)", ["Relu", "Exp"]),
        ("t = Sigmoid(x) u = Clip(t, zero, one) y = Exp(u)", ["Sigmoid", "Exp"]),
        ("t = Softmax(x) u = Relu(t) y = Exp(u)", ["Softmax", "Exp"]),
        ("t = Tanh(x) u = Clip(t, minus, two) y = Exp(u)", ["Tanh", "Exp"]),
    ],
)
def test_bounds_become_one(written, check, nodes, ops):
    assert check(ComposeClips(), written(nodes)).ops == ops


def test_bytes_are_within_their_range_anyway(written, check):
    nodes = "t = Cast<to=1>(x) [clip] u = Clip(t, zero, bytes) y = Exp(u)"
    done = check(ComposeClips(), written(nodes, "uint8[4,50] x"))
    assert done.ops == ["Cast", "Exp"]


def test_a_range_is_kept_by_layouts_and_resizes(written, check):
    nodes = (
        's = Sigmoid(x) t = Transpose(s) r = Resize<mode="linear">(t, , twice)'
        " u = Clip(r, zero, one) y = Exp(u)"
    )
    model = written(nodes, outputs="float[100,8] y")
    assert check(ComposeClips(), model).ops == ["Sigmoid", "Transpose", "Resize", "Exp"]
    cubic = written(nodes.replace("linear", "cubic"), outputs="float[100,8] y")
    assert check(ComposeClips(), cubic).made == []


def test_what_changes_nothing_goes_though_others_read_the_same(written, check):
    nodes = "t = Clip(x, zero, one) [b] u = Clip(t, minus, two) v = Exp(u) y = Add(v, t)"
    assert check(ComposeClips(), written(nodes)).ops == ["Clip", "Exp", "Add"]


def test_declines_what_others_read(written, check):
    nodes = "t = Clip(x, zero, two) [b] u = Clip(t, minus, one) y = Add(u, t)"
    done = check(ComposeClips(), written(nodes))
    assert done.declined == [("b", "what lies between has other readers")]


@pytest.mark.parametrize(
    "nodes",
    [
        "t = Sigmoid(x) y = Clip(t, half, one)",
        "t = Sigmoid(x) y = Clip(t, zero, one)",
        "t = Exp(x) y = Clip(t, zero, one)",
        "t = Neg(x) y = Relu(t)",
        "t = Max(x, many) y = Relu(t)",
    ],
    ids=["cuts", "names an output", "above", "negative", "many"],
)
def test_leaves_alone(written, check, nodes):
    done = check(ComposeClips(), written(nodes))
    assert (len(done.ops), done.made, done.declined) == (2, [], [])


def test_bounds_that_a_caller_gives_are_left_alone(written, check):
    nodes = "t = Relu(x) y = Clip(t, low)"
    assert check(ComposeClips(), written(nodes, "float[4,50] x, float low")).made == []


def test_the_check_fails_bounds_in_the_wrong_order(written, check, monkeypatch):
    monkeypatch.setattr(clips, "min", lambda *_: 0.25, raising=False)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(ComposeClips(), written("t = Clip(x, zero, two) y = Clip(t, minus, one)"))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["compose-clips"]) is ComposeClips
    assert parse_pipeline("compose-clips") == (ComposeClips(),)

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune import constant_channels
from suture.passes.prune.constant_channels import PruneConstantChannels

RNG = np.random.default_rng(2)


def hollow(*shape, zero=(), axis=0):
    """Weights some of whose filters, or of whose inputs, are zero."""
    array = RNG.normal(0, 1, shape).astype(np.float32)
    array[(slice(None),) * axis + (list(zero),)] = 0
    return array


def convs(first="Conv(x, w, b)", between="Relu(t)", second="Conv(r, v, c)", size=6, more=""):
    nodes = f"[first] t = {first} r = {between} y = {second} {more}"
    z = ", float[A,B,C,D] z" if more else ""
    return f"g (float[1,3,6,6] x) => (float[1,2,{size},{size}] y{z}) {{ {nodes} }}"


BIAS = np.float32([-1, 0.5, 0, 2])
WEIGHTS = {"w": hollow(4, 3, 1, 1, zero=(0, 1)), "b": BIAS, "c": (2,)}


@pytest.mark.parametrize("between", ["Relu(t)", "Sigmoid(t)", "LeakyRelu<alpha=0.1>(t)"])
def test_cuts_constant_channels(parse, check, between):
    model = parse(convs(between=between), **WEIGHTS, v=(2, 4, 1, 1))
    done = check(PruneConstantChannels(), model)
    assert done.made == [("first", "2 of 4 channels carry nothing")]
    assert model.graph[0].outputs[0].shape[1] == 2
    assert list(model.graph[0].inputs[1].shape) == [2, 3, 1, 1]
    assert list(model.graph[2].inputs[1].shape) == [2, 2, 1, 1]


def test_zero_moves_past_padding_and_other_numbers_do_not(parse, check):
    text = convs(second="Conv<pads=[1,1,1,1]>(r, v, c)")
    done = check(PruneConstantChannels(), parse(text, **WEIGHTS, v=(2, 4, 3, 3)))
    assert done.made == [("first", "1 of 4 channels carry nothing")]
    reason = "1 constant channels cannot move past zero padding"
    assert done.declined == [("first", reason)]


def test_cuts_what_nobody_looks_at(parse, check):
    text = convs("Conv(x, w)", second="Conv<pads=[1,1,1,1]>(r, v)")
    model = parse(text, w=(4, 3, 1, 1), v=hollow(2, 4, 3, 3, zero=(1, 3), axis=1))
    assert check(PruneConstantChannels(), model).made == [
        ("first", "2 of 4 channels carry nothing")
    ]


@pytest.mark.parametrize("transposed", [0, 1])
def test_cuts_hidden_units_of_products(parse, check, transposed):
    text = (
        "g (float[5,3] x) => (float[5,2] y) {"
        f"[first] t = Gemm<transB={transposed}>(x, w, b) r = Tanh(t)"
        f" y = Gemm<transB={transposed}>(r, v, c) }}"
    )
    first, second = hollow(4, 3, zero=(0, 2)), hollow(2, 4)
    turn = (lambda array: array) if transposed else np.transpose
    w, v = (np.ascontiguousarray(turn(array)) for array in (first, second))
    model = parse(text, w=w, b=BIAS, v=v, c=(2,))
    assert check(PruneConstantChannels(), model).made == [
        ("first", "2 of 4 channels carry nothing")
    ]


def test_one_channel_stays(parse, check):
    weights = {**WEIGHTS, "w": np.zeros((4, 3, 1, 1), np.float32)}
    model = parse(convs(), **weights, v=(2, 4, 1, 1))
    PruneConstantChannels().apply(model, None)
    assert model.graph[0].outputs[0].shape[1] == 1


@pytest.mark.parametrize(
    "text",
    [
        convs(more="z = Exp(r)"),
        convs(between="Softmax<axis=1>(t)"),
        convs(first="Conv(x, w, b)", second="Conv<group=2>(r, u, c)"),
    ],
    ids=["read elsewhere", "channels mix", "grouped"],
)
def test_leaves_channels_that_something_else_needs(parse, check, text):
    more = {"u": (2, 2, 1, 1)} if "u, c" in text else {"v": (2, 4, 1, 1)}
    done = check(PruneConstantChannels(), parse(text, **WEIGHTS, **more))
    assert (done.made, done.declined) == ([], [])


def test_leaves_channels_that_vary(parse, check):
    weights = {"w": (4, 3, 1, 1), "b": BIAS, "v": (2, 4, 1, 1), "c": (2,)}
    assert check(PruneConstantChannels(), parse(convs(), **weights)).made == []


def test_the_check_fails_a_number_moved_past_padding(parse, check, monkeypatch):
    monkeypatch.setattr(constant_channels, "_pads", lambda node: False)
    text = convs(second="Conv<pads=[1,1,1,1]>(r, v, c)")
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(PruneConstantChannels(), parse(text, **WEIGHTS, v=(2, 4, 3, 3)))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["prune-constant-channels"]) is PruneConstantChannels
    assert parse_pipeline("prune-constant-channels") == (PruneConstantChannels(),)

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import arithmetic
from suture.passes.fuse.arithmetic import ComposeArithmetic
from suture.passes.fuse.normalization import FoldNormalization
from suture.passes.pipeline import parse_pipeline

TOO_SHORT = "[a] t = Mul(x, two) [b] u = Add(t, one) y = Exp(u)"
NUMBERS = {
    "one": np.float32(1),
    "two": np.float32(2),
    "half": np.float32(0.5),
    "bytes": np.float32(255),
    "mean": (3, 1, 1),
    "std": (3, 1, 1),
    "row": (8,),
    "zero": np.float32([1, 0, 2, 1, 1, 1, 1, 1]),
    "none": np.zeros((1, 3, 1, 1), np.float32),
    "huge": np.float32(1e30),
    "mask": np.where(np.tri(8, dtype=bool), 0, -np.inf).astype(np.float32),
}


def written(parse, nodes, inputs="float[1,3,8,8] x", outputs="float[N,C,H,W] y"):
    read = nodes.replace("(", " ").replace(")", " ").replace(",", " ").split()
    given = {name: each for name, each in NUMBERS.items() if name in read}
    weights = {"w": (4, 3, 3, 3)} if "w)" in nodes else {}
    return parse(f"g ({inputs}) => ({outputs}) {{ {nodes} }}", **given, **weights)


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("t = Mul(x, bytes) [b] u = Div(t, two) y = Exp(u)", ["Mul", "Exp"]),
        ("t = Add(x, one) [b] u = Sub(two, t) y = Exp(u)", ["Sub", "Exp"]),
        ("t = Add(x, one) u = Add(mean, t) [b] v = Sub(u, half) y = Exp(v)", ["Add", "Exp"]),
        ("t = Mul(x, two) u = Sub(t, one) v = Div(u, std) z = Add(v, mean) y = Exp(z)",
         ["Mul", "Add", "Exp"]),
        ("t = Mul(x, bytes) [b] u = Div(t, bytes) y = Exp(u)", ["Exp"]),
        ("t = Mul(x, two) u = Sub(t, one) v = Add(u, one) [b] z = Mul(v, half) y = Exp(z)",
         ["Exp"]),
        ("t = Div(x, std) [b] y = Mul(t, two)", ["Mul"]),
        ("t = Div(x, one) y = Exp(t)", ["Exp"]),
        ("t = Add(none, x) y = Exp(t)", ["Exp"]),
    ],
    ids=["factors", "turned", "terms", "chain", "undone", "undone in four", "output", "by one",
         "zero"],
)  # fmt: skip
def test_makes_chains_shorter(parse, check, nodes, ops):
    assert check(ComposeArithmetic(), written(parse, nodes)).ops == ops


def test_says_how_many_became_one(parse, check):
    nodes = "t = Mul(x, two) [b] u = Mul(t, two) y = Exp(u)"
    done = check(ComposeArithmetic(), written(parse, nodes))
    assert done.made == [("b", "2 nodes of arithmetic made fewer, or in another order")]


@pytest.mark.parametrize(
    "order", ["Mul(x, two) u = Sub(t, mean)", "Sub(x, mean) u = Div(t, std)"]
)
def test_the_sum_comes_first_before_padding(parse, check, order):
    """So that a convolution that pads can take in the product."""
    nodes = f"t = {order} [conv] y = Conv<pads=[1,1,1,1]>(u, w)"
    model = written(parse, nodes)
    reordered = "Mul(x" in order
    assert bool(check(ComposeArithmetic(), model).made) == reordered
    assert next(node.op_type for node in model.graph) == ("Add" if reordered else "Sub")
    assert len(check(FoldNormalization(), model).ops) == 2


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("t = Mul(x, two) [b] u = Div(t, zero) y = Exp(u)", "it divides by zero"),
        ("t = Mul(x, huge) [b] u = Mul(t, huge) y = Exp(u)", "the constants would overflow"),
        ("t = Mul(x, mean) [b] u = Mul(t, row) y = Exp(u)", "the constants would grow"),
        ("t = Mul(x, half) [b] y = Mul(t, two)", "it names a graph output"),
    ],
    ids=["zero", "overflow", "grow", "output"],
)
def test_declines(parse, check, nodes, reason):
    model = written(parse, nodes)
    result = ComposeArithmetic().apply(model, None)
    assert (result.made, [each.reason for each in result.declined]) == ((), [reason])


def test_declines_where_a_constant_gives_the_shape(parse, check):
    model = written(
        parse, "t = Mul(x, mean) [b] u = Div(t, std) y = Exp(u)", "float[1,1,8,8] x"
    )
    done = check(ComposeArithmetic(), model)
    assert done.declined == [("b", "the constants may give the value its shape")]


@pytest.mark.parametrize(
    "nodes",
    [
        TOO_SHORT,
        "t = Mul(x, two) u = Div(two, t) y = Exp(u)",
        "t = Mul(x, two) u = Mul(t, two) v = Exp(t) y = Add(u, v)",
        "t = Mul(x, two) u = Add(t, mask) y = Softmax(u)",
        "t = Add(x, mask) u = Add(t, one) y = Softmax(u)",
    ],
    ids=["short", "no line", "read twice", "mask", "mask first"],
)
def test_leaves_alone_what_would_not_be_shorter(parse, check, nodes):
    model = written(parse, nodes)
    ops = [node.op_type for node in model.graph]
    done = check(ComposeArithmetic(), model)
    assert (done.ops, done.made, done.declined) == (ops, [], [])


def test_whole_numbers_are_left_alone(parse, check):
    model = parse(
        "g (int32[4] x) => (int32[4] y) { t = Mul(x, k) u = Div(t, k) y = Add(u, k) }",
        k=np.int32(3),
    )
    assert check(ComposeArithmetic(), model).ops == ["Mul", "Div", "Add"]


def test_the_check_fails_a_wrong_order(parse, check, monkeypatch):
    right = arithmetic._total

    def wrong(chain, rounding):
        return right(chain[::-1], rounding)

    monkeypatch.setattr(arithmetic, "_total", wrong)
    nodes = "t = Mul(x, two) u = Add(t, one) v = Mul(u, half) y = Exp(v)"
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(ComposeArithmetic(), written(parse, nodes))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["compose-arithmetic"]) is ComposeArithmetic
    assert parse_pipeline("compose-arithmetic") == (ComposeArithmetic(),)

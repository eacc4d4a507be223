import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import layouts
from suture.passes.fuse.layouts import ComposeLayouts
from suture.passes.pipeline import parse_pipeline


def written(nodes, inputs="float[2,3,4] x", outputs="float[A,B,C] y"):
    return f"g ({inputs}) => ({outputs}) {{ {nodes} }}"


def test_transposes_that_cancel_out_go(parse, check):
    text = written(
        "[one] a = Transpose<perm=[0,2,1]>(x) [two] b = Transpose<perm=[0,2,1]>(a) y = Exp(b)"
    )
    done = check(ComposeLayouts(), parse(text))
    assert (done.ops, done.made) == (["Exp"], [("two", "composed with one")])


def test_a_chain_of_transposes_becomes_one(parse, check):
    model = parse(
        written(
            "a = Transpose<perm=[1,2,0]>(x) b = Transpose<perm=[0,2,1]>(a)"
            " c = Transpose<perm=[2,1,0]>(b) y = Exp(c)"
        )
    )
    assert check(ComposeLayouts(), model).ops == ["Transpose", "Exp"]
    assert list(model.graph[0].attributes.get_ints("perm")) == [2, 0, 1]


@pytest.mark.parametrize(
    ("between", "ops"),
    [
        ("c = Relu(a)", ["Relu", "Exp"]),
        ("b = Mul(k, a) c = Clip(b, zero)", ["Mul", "Clip", "Exp"]),
        ("b = Cast<to=11>(a) d = Tanh(b) c = Cast<to=1>(d)", ["Cast", "Tanh", "Cast", "Exp"]),
    ],
)
def test_what_works_by_element_does_not_keep_transposes_apart(parse, check, between, ops):
    """Channels last and first again, as exporters of TensorFlow write it."""
    nodes = (
        f"[one] a = Transpose<perm=[0,2,3,1]>(x) {between}"
        " [two] u = Transpose<perm=[0,3,1,2]>(c) y = Exp(u)"
    )
    numbers = {"k": (3,), "zero": np.float32(0)} if "Clip" in between else {}
    model = parse(written(nodes, "float[2,3,4,4] x", "float[A,B,C,D] y"), **numbers)
    done = check(ComposeLayouts(), model)
    assert (done.ops, done.made) == (ops, [("two", "composed with one")])


def test_nor_does_it_keep_reshapes_apart(parse, check):
    nodes = "a = Unsqueeze(x, first) b = Add(a, k) c = Squeeze(b, first) y = Exp(c)"
    model = parse(written(nodes), first=np.array([0]), k=(1, 1, 3, 1))
    assert check(ComposeLayouts(), model).ops == ["Add", "Exp"]
    assert list(model.graph[0].inputs[1].shape) == [1, 3, 1]


def test_declines_what_lies_between_a_constant_that_would_grow(parse, check):
    nodes = "a = Reshape(x, s0) b = Add(a, k) [two] c = Reshape(b, s1) y = Exp(c)"
    shapes = {"s0": np.array([6, 4]), "s1": np.array([4, 6]), "k": (6, 1)}
    done = check(ComposeLayouts(), parse(written(nodes, outputs="float[A,B] y"), **shapes))
    assert done.declined == [("two", "the constant would grow")]


@pytest.mark.parametrize(
    ("first", "last", "ops"),
    [
        ("0,2,3,1", "0,2,1", ["Reshape", "Exp"]),
        ("0,2,1,3", "1,0,2", ["Transpose", "Reshape", "Exp"]),
    ],
    ids=["undone", "turned"],
)
def test_a_reshape_that_joins_axes_goes_behind_both(parse, check, first, last, ops):
    """As vision transformers write it, and recurrent layers of two directions."""
    nodes = (
        f"a = Transpose<perm=[{first}]>(x) [join] b = Reshape(a, s)"
        f" [two] c = Transpose<perm=[{last}]>(b) y = Exp(c)"
    )
    joined = np.array([2, 20, 3] if ops[0] == "Reshape" else [2, 4, 15])
    done = check(ComposeLayouts(), parse(written(nodes, "float[2,3,4,5] x"), s=joined))
    assert (done.ops, done.made) == (ops, [("two", "turned before join joins axes")])


def test_a_reshape_that_joins_parts_of_axes_stays(parse, check):
    nodes = (
        "a = Transpose<perm=[1,0,2]>(x) b = Reshape(a, s)"
        " c = Transpose<perm=[1,0]>(b) y = Exp(c)"
    )
    model = parse(written(nodes, "float[4,6,5] x", "float[A,B] y"), s=np.array([12, 10]))
    assert check(ComposeLayouts(), model).ops == ["Transpose", "Reshape", "Transpose", "Exp"]


def test_transposes_of_a_free_size_are_composed(parse, check):
    text = written(
        "a = Transpose<perm=[0,2,1]>(x) b = Transpose<perm=[0,2,1]>(a) y = Exp(b)",
        "float[N,3,4] x",
    )
    assert check(ComposeLayouts(), parse(text)).ops == ["Exp"]


@pytest.mark.parametrize(
    ("nodes", "ops"),
    [
        ("a = Reshape(x, s0) b = Reshape(a, s1) y = Exp(b)", ["Reshape", "Exp"]),
        ("a = Unsqueeze(x, first) b = Squeeze(a, first) y = Exp(b)", ["Exp"]),
        ("a = Flatten(x) b = Unsqueeze(a, first) y = Exp(b)", ["Reshape", "Exp"]),
        ("a = Unsqueeze(x, first) b = Transpose<perm=[1,0,2,3]>(a) c = Reshape(b, s1)"
         " y = Exp(c)", ["Reshape", "Exp"]),
        ("a = Flatten(x) y = Reshape(a, s2)", ["Reshape"]),
    ],
    ids=["reshapes", "undone", "others", "a transpose of one", "output"],
)  # fmt: skip
def test_reshapes_become_one(parse, check, nodes, ops):
    shapes = {"s0": [6, 4], "s1": [4, 6], "first": [0], "s2": [2, 3, 4]}
    numbers = {name: np.array(value) for name, value in shapes.items() if name in nodes}
    rank = "A,B" if "s1" in nodes else "A,B,C"
    model = parse(written(nodes, outputs=f"float[{rank}] y"), **numbers)
    assert check(ComposeLayouts(), model).ops == ops


@pytest.mark.parametrize(
    ("nodes", "inputs", "reason"),
    [
        ("a = Transpose<perm=[0,2,1]>(x) [two] b = Transpose<perm=[0,2,1]>(a) c = Exp(a)"
         " y = MatMul(c, b)", "float[2,3,4] x", "what lies between has other readers"),
        ("a = Transpose(x) [two] b = Transpose(a) y = Exp(b)", "float[2,3,4] x",
         "it turns the axes round, and their number is not told"),
        ("a = Reshape(x, s) [two] b = Reshape(a, t) y = Exp(b)", "float[N,3,4] x",
         "the shape behind it is not fixed"),
    ],
    ids=["read", "round", "free"],
)  # fmt: skip
def test_declines(parse, check, nodes, inputs, reason):
    numbers = {"s": np.array([0, 12]), "t": np.array([0, 4, 3])} if "(x, s)" in nodes else {}
    done = check(ComposeLayouts(), parse(written(nodes, inputs), **numbers))
    assert done.declined == [("two", reason)]


def test_the_check_fails_axes_in_the_wrong_order(parse, check, monkeypatch):
    right = layouts.new_node

    def wrong(names, op, inputs, *, attributes, **more):
        turned = {"perm": attributes["perm"][::-1]}
        return right(names, op, inputs, attributes=turned, **more)

    monkeypatch.setattr(layouts, "new_node", wrong)
    text = written(
        "a = Transpose<perm=[1,2,0]>(x) y = Transpose<perm=[0,2,1]>(a)",
        "float[3,3,3] x",
        "float[3,3,3] y",
    )
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(ComposeLayouts(), parse(text))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["compose-layouts"]) is ComposeLayouts
    assert parse_pipeline("compose-layouts") == (ComposeLayouts(),)

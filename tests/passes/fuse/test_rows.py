import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import rows
from suture.passes.fuse.rows import FlattenRows
from suture.passes.pipeline import parse_pipeline

TWO = "m = MatMul(x, w) a = Add(m, b) r = Relu(a) n = MatMul(r, v) "
LAST = "[last] y = Add(n, c)"
SHAPES = {"w": (4, 6), "b": (6,), "v": (6, 4), "c": (4,)}


def over(body, inputs="float[2,5,4] x", out="float[2,5,4] y"):
    return f"g ({inputs}) => ({out}) {{ [first] {body} }}"


def test_flattens_a_region_between_two_reshapes(parse, check):
    model = parse(over(TWO + LAST), **SHAPES)
    done = check(FlattenRows(), model)
    assert done.ops == ["Reshape", "MatMul", "Add", "Relu", "MatMul", "Add", "Reshape"]
    assert done.made == [("first", "2 products with a bias become Gemms")]
    assert [value.name for value in model.graph.outputs] == ["y"]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (TWO + "s = Add(n, c) y = Add(s, x)", {}),
        (TWO + "s = Add(n, c) k = Mul(s, row) y = LayerNormalization(k, g1, g2)",
         {"row": (1, 1, 4), "g1": (4,), "g2": (4,)}),
        (TWO + "s = Add(n, c) y = Add(s, whole)", {"whole": (2, 5, 4)}),
        (TWO + "s = Add(n, c) y = Softmax<axis=2>(s)", {}),
        (TWO + "s = Add(n, c) k = Clip(s, low) y = Mul(k, number)",
         {"low": np.float32(-0.5), "number": np.full((1, 1, 1), 0.7, np.float32)}),
    ],
    ids=["residual", "norm", "constant of every row", "softmax", "numbers"],
)  # fmt: skip
def test_takes_what_works_on_rows_along(parse, check, body, more):
    done = check(FlattenRows(), parse(over(body), **SHAPES, **more))
    assert done.ops.count("Reshape") == 2
    assert done.ops[0] == done.ops[-1] == "Reshape"


def test_reuses_reshapes_at_the_border(parse, check):
    body = f"x = Reshape(i, s0) {TWO} z = Add(n, c) y = Reshape(z, s1)"
    model = parse(
        over(body, "float[40] i", "float[10,2,2] y"),
        **SHAPES,
        s0=np.array([2, 5, 4]),
        s1=np.array([-1, 2, 2]),
    )
    done = check(FlattenRows(), model)
    assert done.ops == ["Reshape", "MatMul", "Add", "Relu", "MatMul", "Add", "Reshape"]


def test_a_reshape_that_copies_sizes_is_told_them(parse, check):
    body = f"{TWO} z = Add(n, c) y = Reshape(z, s1)"
    text = over(body, out="float[2,5,2,2] y")
    done = check(FlattenRows(), parse(text, **SHAPES, s1=np.array([0, 0, 2, 2])))
    assert done.ops.count("Reshape") == 2


def test_what_is_read_outside_gets_its_axes_back(parse, check):
    body = TWO + "z = Add(n, c) y = ReduceMean(z, axis)"
    text = over(body, out="float[2,1,4] y")
    done = check(FlattenRows(), parse(text, **SHAPES, axis=np.array([1])))
    assert done.ops[-2:] == ["Reshape", "ReduceMean"]


def test_declines_what_takes_more_reshapes_than_it_saves(parse, check):
    text = over("m = MatMul(x, w) y = Add(m, b)", out="float[2,5,6] y")
    done = check(FlattenRows(), parse(text, w=(4, 6), b=(6,)))
    assert done.declined == [("first", "2 reshapes for 1 products")]


@pytest.mark.parametrize(
    ("inputs", "body"),
    [
        ("float[N,5,4] x", TWO + LAST),
        ("float[2,5,4] x, float[2,1,6] z", "m = MatMul(x, w) a = Add(m, z) y = MatMul(a, v)"),
    ],
    ids=["a free size", "no bias"],
)
def test_leaves_what_gains_nothing(parse, check, inputs, body):
    text = over(body, inputs, "float[N,5,4] y")
    shapes = {name: shape for name, shape in SHAPES.items() if f", {name})" in body}
    done = check(FlattenRows(), parse(text, **shapes))
    assert (done.made, done.declined) == ([], [])
    assert "Reshape" not in done.ops


def test_the_check_fails_rows_in_another_order(parse, check, monkeypatch):
    right = rows.add_constant
    monkeypatch.setattr(
        rows, "add_constant", lambda graph, name, data: right(graph, name, data[::-1].copy())
    )
    body = TWO + "s = Add(n, c) y = Add(s, whole)"
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FlattenRows(), parse(over(body), **SHAPES, whole=(2, 5, 4)))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["flatten-rows"]) is FlattenRows
    assert parse_pipeline("flatten-rows") == (FlattenRows(),)

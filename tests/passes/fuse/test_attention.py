import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import attention
from suture.passes.fuse.attention import FuseAttention
from suture.passes.pipeline import parse_pipeline

CONSTANTS = (
    "int64[4] heads = {2, 5, 3, 4}, int64[5] thirds = {2, 5, 3, 3, 4}, "
    "int64[3] merge = {2, 5, 12}, float root = {2.0}"
)
APART = (
    "rq = Reshape(q, heads) tq = Transpose<perm=[0,2,1,3]>(rq) rk = Reshape(k, heads) "
    "tk = Transpose<perm=[0,2,3,1]>(rk) rv = Reshape(v, heads) "
    "tv = Transpose<perm=[0,2,1,3]>(rv) s = MatMul(tq, tk)"
)
MIXED = "[soft] p = Softmax<axis=-1>({of}) o = MatMul(p, tv) "
MERGED = "t = Transpose<perm=[0,2,1,3]>(o) y = Reshape(t, merge)"
SIDE_BY_SIDE = (
    "r = Reshape(x, thirds) f = Transpose<perm=[2,0,3,1,4]>(r) "
    "q, k, v = Split<axis=0,num_outputs=3>(f) tq = Squeeze(q, first) sk = Squeeze(k, first) "
    "tv = Squeeze(v, first) tk = Transpose<perm=[0,1,3,2]>(sk) s = MatMul(tq, tk)"
)
ROWS = ", ".join(f"float[2,5,12] {name}" for name in "qkv")


def written(body, inputs=ROWS, out="float[2,5,12] y"):
    return f"g ({inputs}) => ({out}) <{CONSTANTS}, int64[1] first = {{0}}> {{ {body} }}"


MASKS = {
    "none": ("", "", "d"),
    "a row": (", float[2,1,1,5] mask", "m = Add(d, mask)", "m"),
    "a matrix": (", float[5,5] mask", "m = Add(mask, d)", "m"),
}


@pytest.mark.parametrize("mask", MASKS)
def test_makes_one_operator_of_projections(parse, check, mask):
    more, add, of = MASKS[mask]
    body = f"{APART} d = Div(s, root) {add} {MIXED.format(of=of)} {MERGED}"
    model = parse(written(body, ROWS + more), 23)
    done = check(FuseAttention(), model)
    assert done.made == [("soft", "attention of 3 heads")]
    assert done.ops == ["Expand", "Attention"] if mask == "a row" else ["Attention"]
    node = model.graph[-1]
    assert node.attributes.get_float("scale") == 0.5
    assert node.attributes.get_int("q_num_heads") == 3


def test_takes_thirds_apart(parse, check):
    body = f"{SIDE_BY_SIDE} {MIXED.format(of='s')} {MERGED}"
    model = parse(written(body, "float[2,5,36] x"), 23)
    assert check(FuseAttention(), model).ops == ["Split", "Attention"]


def test_takes_roots_on_either_side(parse, check):
    body = APART.replace("s = MatMul(tq, tk)", "a = Mul(tq, root) b = Div(tk, root)")
    body = f"{body} s = MatMul(a, b) {MIXED.format(of='s')} {MERGED}"
    model = parse(written(body), 23)
    assert check(FuseAttention(), model).ops == ["Attention"]
    assert model.graph[0].attributes.get_float("scale") == 1.0


def test_what_comes_out_keeps_its_shape(parse, check):
    body = f"{APART} {MIXED.format(of='s')} y = Transpose<perm=[0,2,1,3]>(o)"
    done = check(FuseAttention(), parse(written(body, out="float[2,5,3,4] y"), 23))
    assert done.ops == ["Attention", "Reshape"]


def test_values_of_another_width(parse, check):
    body = (
        f"{APART.replace('Reshape(v, heads)', 'Reshape(v, deep)')} {MIXED.format(of='s')} "
        "t = Transpose<perm=[0,2,1,3]>(o) y = Reshape(t, flat)"
    )
    text = written(body, ROWS.replace("12] v", "18] v"), "float[2,5,18] y")
    model = parse(text, 23, deep=np.array([2, 5, 3, 6]), flat=np.array([2, 5, 18]))
    assert check(FuseAttention(), model).ops == ["Attention"]


@pytest.mark.parametrize(
    ("opset", "body", "inputs", "reason"),
    [
        (
            22,
            f"{APART} {MIXED.format(of='s')} {MERGED}",
            ROWS,
            "Attention is in operator sets from 23 on, the model has 22",
        ),
        (
            23,
            f"{APART} {MIXED.format(of='s')} y = Reshape(o, merge)",
            ROWS,
            "the heads are not put side by side behind it",
        ),
        (
            23,
            f"{APART.replace('tq = Transpose<perm=[0,2,1,3]>(rq)', 'tq = Reshape(q, turned)')}"
            f" {MIXED.format(of='s')} {MERGED}",
            ROWS,
            "Q, K or V does not lie in rows of heads side by side",
        ),
        (
            23,
            f"{SIDE_BY_SIDE.replace('q, k, v', 'v, k, q')} {MIXED.format(of='s')} {MERGED}",
            "float[2,5,36] x",
            "Q, K and V are parts of one value, but not thirds of it in this order",
        ),
    ],
    ids=["old", "not merged", "not rows", "other order"],
)
def test_declines(parse, check, opset, body, inputs, reason):
    model = parse(written(body, inputs), opset, turned=np.array([2, 3, 5, 4]))
    assert check(FuseAttention(), model).declined == [("soft", reason)]


@pytest.mark.parametrize(
    "body",
    [
        f"{APART} {MIXED.format(of='s')} z = Exp(p) {MERGED}",
        f"{APART} p = Softmax<axis=2>(s) o = MatMul(p, tv) {MERGED}",
    ],
    ids=["weights are read", "another axis"],
)
def test_leaves_what_is_not_attention(parse, check, body):
    out = "float[2,5,12] y" + (", float[2,3,5,5] z" if "z =" in body else "")
    done = check(FuseAttention(), parse(written(body, out=out), 23))
    assert (done.made, done.declined) == ([], [])
    assert "Attention" not in done.ops


def test_the_check_fails_a_lost_scale(parse, check, monkeypatch):
    right = attention.new_node

    def wrong(names, op, inputs, *, attributes=None, **more):
        given = {k: v for k, v in (attributes or {}).items() if k != "scale"}
        return right(names, op, inputs, attributes=given, **more)

    monkeypatch.setattr(attention, "new_node", wrong)
    body = f"{APART} {MIXED.format(of='s')} {MERGED}"
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FuseAttention(), parse(written(body), 23))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fuse-attention"]) is FuseAttention
    assert parse_pipeline("fuse-attention") == (FuseAttention(),)

import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import gemm
from suture.passes.fuse.gemm import FuseGemm
from suture.passes.pipeline import parse_pipeline


def product(nodes, inputs="float[2,4] x", outputs="float[2,3] y"):
    return f"g ({inputs}) => ({outputs}) {{ [m] t = MatMul(x, w) {nodes} }}"


@pytest.mark.parametrize("bias", [(3,), (1, 3)])
@pytest.mark.parametrize("nodes", ["[a] y = Add(t, b)", "[a] y = Add(b, t)"])
def test_makes_a_gemm(parse, check, nodes, bias):
    done = check(FuseGemm(), parse(product(nodes), w=(4, 3), b=bias))
    assert (done.ops, done.made) == (["Gemm"], [("m", "a is its bias")])


def test_declines_more_axes(parse, check):
    text = product("y = Add(t, b)", "float[1,2,4] x", "float[1,2,3] y")
    done = check(FuseGemm(), parse(text, w=(4, 3), b=(3,)))
    assert done.declined == [("m", "it has 3 axes, and Gemm has two")]


@pytest.mark.parametrize(
    ("nodes", "inputs", "bias"),
    [
        ("y = Add(t, x2)", "float[2,4] x, float[2,3] x2", None),
        ("y = Add(t, b)", "float[2,4] x", (2, 1)),
        ("y = Add(t, b) z = Exp(t)", "float[2,4] x", (3,)),
        ("y = Sub(t, b)", "float[2,4] x", (3,)),
    ],
    ids=["no constant", "no row", "read", "no sum"],
)
def test_leaves_what_is_not_a_bias(parse, check, nodes, inputs, bias):
    outputs = "float[2,3] y" + (", float[2,3] z" if "z =" in nodes else "")
    shapes = {"w": (4, 3)} | ({"b": bias} if bias else {})
    done = check(FuseGemm(), parse(product(nodes, inputs, outputs), **shapes))
    assert (done.ops[0], done.made, done.declined) == ("MatMul", [], [])


def test_the_check_fails_a_lost_bias(parse, check, monkeypatch):
    right = gemm.new_node
    monkeypatch.setattr(
        gemm,
        "new_node",
        lambda names, op, inputs, **more: right(names, op, inputs[:2], **more),
    )
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FuseGemm(), parse(product("y = Add(t, b)"), w=(4, 3), b=(3,)))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fuse-gemm"]) is FuseGemm
    assert parse_pipeline("fuse-gemm") == (FuseGemm(),)

import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import projections
from suture.passes.fuse.projections import JoinProjections
from suture.passes.pipeline import parse_pipeline

WEIGHTS = {f"w{part}": (8, 12) for part in "qkv"} | {f"b{part}": (12,) for part in "qkv"}
BIASED = " ".join(f"m{p} = MatMul(x, w{p}) {p} = Add(b{p}, m{p})" for p in "qkv")
PLAIN = " ".join(f"{p} = MatMul(x, w{p})" for p in "qkv")
ATTENTION = "[att] y = Attention<q_num_heads=3,kv_num_heads=3>(q, k, v)"


def model_of(parse, body, inputs="float[1,5,8] x", more="", **weights):
    text = f"g ({inputs}) => (float[1,5,12] y{more}) {{ {body} {ATTENTION} }}"
    names = {name: shape for name, shape in WEIGHTS.items() if name in body}
    return parse(text, 23, **(names | weights))


@pytest.mark.parametrize(
    ("body", "ops"),
    [
        (BIASED, ["MatMul", "Add", "Split", "Attention"]),
        (PLAIN, ["MatMul", "Split", "Attention"]),
    ],
    ids=["biased", "plain"],
)
def test_makes_one_product(parse, check, body, ops):
    done = check(JoinProjections(), model_of(parse, body))
    assert done.ops == ops
    assert done.made == [("att", "one product makes Q, K and V")]


@pytest.mark.parametrize(
    ("body", "inputs", "more", "reason"),
    [
        (
            PLAIN.replace("MatMul(x, wk)", "MatMul(z, wk)"),
            "float[1,5,8] x, float[1,5,8] z",
            "",
            "Q, K and V are not made of one value",
        ),
        (PLAIN.replace("MatMul(x, wk)", "Exp(x12)"), "float[1,5,8] x, float[1,5,12] x12", "",
         "Q, K and V are not all products with constants"),
        (f"{PLAIN} z = Exp(k)", "float[1,5,8] x", ", float[1,5,12] z",
         "Q, K or V has other readers"),
        (PLAIN.replace("k = MatMul(x, wk)", "mk = MatMul(x, wk) k = Add(mk, bk)"),
         "float[1,5,8] x", "", "some of Q, K and V have a bias, some have none"),
    ],
    ids=["two inputs", "no product", "read", "one bias"],
)  # fmt: skip
def test_declines(parse, check, body, inputs, more, reason):
    done = check(JoinProjections(), model_of(parse, body, inputs, more))
    assert done.declined == [("att", reason)]


def test_the_check_fails_weights_in_another_order(parse, check, monkeypatch):
    right = np.concatenate
    monkeypatch.setattr(
        projections.np, "concatenate", lambda parts, **axis: right(parts[::-1], **axis)
    )
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(JoinProjections(), model_of(parse, PLAIN))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["join-projections"]) is JoinProjections
    assert parse_pipeline("join-projections") == (JoinProjections(),)

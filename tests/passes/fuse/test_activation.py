import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import activation
from suture.passes.fuse.activation import FuseActivation
from suture.passes.pipeline import parse_pipeline

NUMBERS = {
    "root": 2**0.5,
    "one": 1,
    "half": 0.5,
    "three": 3,
    "six": 6,
    "zero": 0,
    "cubic": 0.044715,
    "slope": (2 / np.pi) ** 0.5,
}
GELU = "d = Div(v, root) e = Erf(d) a = Add(e, one) m = Mul(v, a) [last] y = Mul(m, half)"
FORMS = {
    "gelu": (20, GELU, "Gelu"),
    "gelu, halved first": (
        20,
        "h = Mul(half, v) d = Div(v, root) e = Erf(d) a = Add(one, e) [last] y = Mul(a, h)",
        "Gelu",
    ),
    "gelu-tanh": (
        20,
        "c = Pow(v, three) s = Mul(c, cubic) i = Add(v, s) k = Mul(i, slope) t = Tanh(k) "
        "o = Add(t, one) m = Mul(v, half) [last] y = Mul(m, o)",
        "Gelu",
    ),
    "hard-swish": (
        14,
        "a = Add(v, three) c = Clip(a, zero, six) m = Mul(v, c) [last] y = Div(m, six)",
        "HardSwish",
    ),
    "hard-swish, by HardSigmoid": (
        14,
        "s = HardSigmoid<alpha=0.16666667,beta=0.5>(v) [last] y = Mul(v, s)",
        "HardSwish",
    ),
    "hard-sigmoid": (
        11,
        "a = Add(v, three) c = Clip(a, zero, six) [last] y = Div(c, six)",
        "HardSigmoid",
    ),
    "mish": (18, "p = Softplus(v) t = Tanh(p) [last] y = Mul(v, t)", "Mish"),
}


def model_of(parse, body, opset, more=""):
    numbers = {name: np.float32(x) for name, x in NUMBERS.items() if f" {name}" in body
               or f"({name}," in body}  # fmt: skip
    text = f"g (float[3,4] x) => (float[3,4] y{more}) {{ v = Neg(x) {body} }}"
    return parse(text, opset, **numbers)


@pytest.mark.parametrize("form", FORMS)
def test_makes_one_operator(parse, check, form):
    opset, body, operator = FORMS[form]
    done = check(FuseActivation(), model_of(parse, body, opset))
    assert done.ops == ["Neg", operator]
    assert done.made == [("last", f"is {form.partition(',')[0]}")]


@pytest.mark.parametrize(
    ("body", "opset", "reason"),
    [
        (GELU, 17, "Gelu is in operator sets from 20 on, the model has 17"),
        ("s = Sigmoid(v) [last] y = Mul(v, s)", 23, "swish has no operator of its own"),
    ],
)
def test_declines(parse, check, body, opset, reason):
    done = check(FuseActivation(), model_of(parse, body, opset))
    assert done.declined == [("last", reason)]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (GELU.replace("half", "six"), ""),
        (GELU + " z = Exp(e)", ", float[3,4] z"),
        ("y = Relu(v)", ""),
    ],
    ids=["another function", "read inside", "one already"],
)
def test_leaves_other_things(parse, check, body, more):
    done = check(FuseActivation(), model_of(parse, body, 20, more))
    assert (done.made, done.declined) == ([], [])


def test_the_check_fails_another_curve(parse, check, monkeypatch):
    wrong = {"gelu": ("Gelu", 20, {"approximate": "tanh"})}
    monkeypatch.setattr(activation, "OPERATORS", wrong)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FuseActivation(), model_of(parse, GELU, 20))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fuse-activation"]) is FuseActivation
    assert parse_pipeline("fuse-activation") == (FuseActivation(),)

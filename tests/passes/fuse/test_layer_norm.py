import numpy as np
import pytest

from suture.compiler.discovery import discover, load
from suture.errors import VerifyError
from suture.passes.fuse import layer_norm
from suture.passes.fuse.layer_norm import FuseLayerNorm
from suture.passes.pipeline import parse_pipeline

CENTRED = "m = ReduceMean(x, last) c = Sub(x, m) q = {square} v = ReduceMean(q, last) "
ROOT = "w = Add(v, eps) [root] r = Sqrt(w) "
LAYER = CENTRED.format(square="Pow(c, two)") + ROOT + "n = Div(c, r) s = Mul(n, scale) "
INVERSE = (
    CENTRED.format(square="Mul(c, c)")
    + ROOT
    + "i = Reciprocal(r) n = Mul(c, i) s = Mul(scale, n) y = Add(s, bias)"
)
RMS = (
    "q = Pow(x, two) v = ReduceMean(q, last) w = Add(v, eps) [root] r = Sqrt(w) "
    "i = Reciprocal(r) n = Mul(x, i) y = Mul(scale, n)"
)

READ = RMS.replace("y =", "h =") + " y = Add(v, h)"


def model_of(parse, body, opset=23, **weights):
    known = {
        "last": np.array([-1]),
        "two": np.float32(2),
        "eps": np.float32(1e-6),
        "one": np.float32(1),
        "scale": (6,),
        "bias": (6,),
    }
    text = f"g (float[2,5,6] x) => (float[2,5,6] y) {{ {body} }}"
    used = {name: given for name, given in known.items() if f"{name})" in body
            or f"({name}" in body}  # fmt: skip
    return parse(text, opset, **(used | weights))


@pytest.mark.parametrize(
    ("body", "op"),
    [
        (LAYER + "y = Add(s, bias)", "LayerNormalization"),
        (LAYER + "y = Add(bias, s)", "LayerNormalization"),
        (LAYER.replace("s = Mul(n, scale)", "y = Mul(n, scale)"), "LayerNormalization"),
        (
            LAYER.replace("n = Div(c, r) s = Mul(n, scale)", "y = Div(c, r)"),
            "LayerNormalization",
        ),
        (INVERSE, "LayerNormalization"),
        (RMS, "RMSNormalization"),
        (RMS.replace("Mul(scale, n)", "Mul(n, scale)"), "RMSNormalization"),
        (RMS.replace("i = Reciprocal(r)", "i = Div(one, r)"), "RMSNormalization"),
    ],
    ids=[
        "PyTorch",
        "bias first",
        "no bias",
        "no scale",
        "inverse",
        "rms",
        "scale last",
        "1/r",
    ],
)
def test_makes_one_operator(parse, check, body, op):
    done = check(FuseLayerNorm(), model_of(parse, body))
    assert (done.ops, done.made) == ([op], [("root", f"{op} over 6")])


def test_axes_may_be_an_attribute(parse, check):
    body = LAYER.replace("ReduceMean(x, last)", "ReduceMean<axes=[2]>(x)")
    body = body.replace("ReduceMean(q, last)", "ReduceMean<axes=[-1]>(q)")
    done = check(FuseLayerNorm(), model_of(parse, body + "y = Add(s, bias)", 17))
    assert done.ops == ["LayerNormalization"]


@pytest.mark.parametrize(
    ("body", "opset", "reason"),
    [
        (RMS, 22, "RMSNormalization is in operator sets from 23 on, the model has 22"),
        (
            RMS.replace("y =", "h =") + " y = Add(v, h)",
            23,
            "something else reads what is inside",
        ),
    ],
    ids=["old", "read"],
)
def test_declines(parse, check, body, opset, reason):
    done = check(FuseLayerNorm(), model_of(parse, body, opset))
    assert (done.made, done.declined) == ([], [("root", reason)])


@pytest.mark.parametrize(
    ("old", "new"),
    [("ReduceMean(q, last)", "ReduceMean(q, first)"), ("Pow(x, two)", "Pow(x, scale)")],
    ids=["another axis", "another power"],
)
def test_leaves_what_is_no_normalisation(parse, check, old, new):
    body = RMS.replace(old, new)
    done = check(FuseLayerNorm(), model_of(parse, body, first=np.array([1])))
    assert (done.made, done.declined) == ([], [])


def test_a_scale_or_bias_that_is_no_row_stays_behind(parse, check):
    body = LAYER + "y = Add(s, bias)"
    assert check(FuseLayerNorm(), model_of(parse, body, bias=(5, 6))).ops == [
        "LayerNormalization",
        "Add",
    ]
    assert check(FuseLayerNorm(), model_of(parse, body, scale=(5, 6))).ops == [
        "LayerNormalization",
        "Mul",
        "Add",
    ]


def test_the_check_fails_another_epsilon(parse, check, monkeypatch):
    monkeypatch.setattr(layer_norm, "_with_constant", lambda node: (node.inputs[0], 0.1))
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(FuseLayerNorm(), model_of(parse, RMS))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["fuse-layer-norm"]) is FuseLayerNorm
    assert parse_pipeline("fuse-layer-norm") == (FuseLayerNorm(),)

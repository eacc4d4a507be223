import logging

import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.model import opset_of
from suture.passes.fuse import opset
from suture.passes.fuse.opset import RaiseOpset
from suture.passes.pipeline import parse_pipeline

GELU = "d = Div(x, root) [erf] e = Erf(d) a = Add(e, one) m = Mul(x, a) y = Mul(m, half)"
MEAN = "m = ReduceMean<axes=[-1]>(x) a = Add(m, one) s = Sqrt(a) y = Div(x, s)"
CONSTANTS = "float root = {1.41421}, float one = {1.0}, float half = {0.5}"


def written(body, inputs="float[2,4] x"):
    return f"g ({inputs}) => (float[2,4] y) <{CONSTANTS}> {{ {body} }}"


@pytest.mark.parametrize(
    ("body", "told"),
    [(GELU, "GELU may be one operator"), (MEAN, "a normalisation may be one")],
)
def test_raises_what_gains(parse, check, body, told):
    model = parse(written(body), 17)
    done = check(RaiseOpset(), model)
    assert opset_of(model) == 23
    assert [reason.startswith(told) for _, reason in done.made] == [True]
    assert done.made[0][1].endswith("raised from 17 to 23")


def test_raises_attention_however_it_is_rearranged(parse, check):
    body = "s = MatMul(q, k) [soft] p = Softmax(s) y = MatMul(p, v)"
    text = (
        "g (float[1,2,3,4] q, float[1,2,4,3] k, float[1,2,3,4] v) => (float[1,2,3,4] y)"
        f" {{ {body} }}"
    )
    model = parse(text, 17)
    made = check(RaiseOpset(to=24), model).made
    assert made == [("soft", "attention may be one operator: raised from 17 to 24")]
    assert opset_of(model) == 24


@pytest.mark.parametrize(
    ("body", "version"), [("y = Softmax(x)", 17), ("m = ReduceMean(x) y = Sub(x, m)", 17),
                          (GELU, 23)], ids=["softmax", "mean", "new"]
)  # fmt: skip
def test_leaves_what_gains_nothing(parse, check, body, version):
    model = parse(written(body), version)
    done = check(RaiseOpset(), model)
    assert (done.made, done.declined, opset_of(model)) == ([], [], version)


def test_declines_a_model_with_branches_of_an_old_set(parse, check):
    body = GELU.replace("y = Mul(m, half)", "h = Mul(m, half)") + (
        " [if] y = If(c)<then_branch = a () => (float[2,4] p) { p = Exp(h) },"
        " else_branch = b () => (float[2,4] q) { q = Neg(h) }>"
    )
    model = parse(written(body, "float[2,4] x, bool c"), 17)
    told = "subgraphs are not converted from sets before 18"
    done = check(RaiseOpset(), model)
    assert (done.declined, opset_of(model)) == ([("if", told)], 17)


def test_declines_what_onnx_cannot_convert(parse, check, monkeypatch):
    monkeypatch.setattr(
        opset.onnxscript.version_converter, "convert_version", lambda *_, **__: None
    )
    done = check(RaiseOpset(), parse(written(GELU), 17))
    assert done.declined == [("erf", "onnx cannot convert the model to operator set 23")]


def test_the_log_level_of_the_converter_is_put_back(parse, caplog):
    logger = logging.getLogger("onnxscript.version_converter")
    caplog.set_level(logging.INFO, logger=logger.name)
    (graph_pass,) = parse_pipeline("raise-opset")
    graph_pass.apply(parse(written(GELU), 17), None)
    assert logger.level == logging.INFO
    assert not caplog.records


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["raise-opset"]) is RaiseOpset
    assert parse_pipeline("raise-opset{to=21}") == (RaiseOpset(to=21),)

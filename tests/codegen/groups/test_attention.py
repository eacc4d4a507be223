"""Attention as exporters write it: what is taken in, and the same answers as ONNX Runtime."""

import numpy as np
import pytest

from suture.compiler.verify import assert_equal, run_reference
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

INPUTS = {
    "weights": ", ".join(f"float[24,24] w{p}, float[24] b{p}" for p in "qkv"),
    "constants": "int64[4] split = {1, 11, 3, 8}, int64[3] merge = {1, 11, 24}, "
    "float root = {2.828427}, float fourth = {0.594604}",
}
PROJECTED = " ".join(
    f"m{p} = MatMul(x, w{p}) a{p} = Add(m{p}, b{p}) r{p} = Reshape(a{p}, split)" for p in "qkv"
)
BERT = (
    PROJECTED + " q = Transpose<perm=[0,2,1,3]>(rq) k = Transpose<perm=[0,2,3,1]>(rk) "
    "v = Transpose<perm=[0,2,1,3]>(rv) s = MatMul(q, k) d = Div(s, root) {mask} "
    "p = Softmax<axis=-1>({masked}) o = MatMul(p, v) t = Transpose<perm=[0,2,1,3]>(o) "
    "y = Reshape(t, merge)"
)
ROOTS = (
    PROJECTED + " q0 = Transpose<perm=[0,2,1,3]>(rq) k0 = Transpose<perm=[0,2,3,1]>(rk) "
    "v = Transpose<perm=[0,2,1,3]>(rv) q = Mul(q0, fourth) k = Mul(k0, fourth) "
    "s = MatMul(q, k) p = Softmax(s) o = MatMul(p, v) t = Transpose<perm=[0,2,1,3]>(o) "
    "y = Reshape(t, merge)"
)
TIMM = (
    "m = MatMul(x, wide) a = Add(m, bias) r = Reshape(a, five) "
    "f = Transpose<perm=[2,0,3,1,4]>(r) q = Gather<axis=0>(f, zero) "
    "k0 = Gather<axis=0>(f, one) v = Gather<axis=0>(f, two) "
    "k = Transpose<perm=[0,1,3,2]>(k0) s = MatMul(q, k) d = Div(s, root) p = Softmax(d) "
    "o = MatMul(p, v) t = Transpose<perm=[0,2,1,3]>(o) y = Reshape(t, merge)"
)
HEADS = (
    "k = Transpose<perm=[0,1,3,2]>(k0) s = MatMul(q, k) d = Div(s, root) p = Softmax(d) "
    "y = MatMul(p, v)"
)


def model_of(body, more="", out="float[1,11,24] y"):
    """A model of three projections and an attention; weights are its inputs yet."""
    return (
        f"g (float[1,11,24] x, {INPUTS['weights']}{more}) => ({out}) "
        f"<{INPUTS['constants']}> {{ {body} }}"
    )


WEIGHTS = [f"{kind}{part}" for part in "qkv" for kind in "wb"]
MASKS = {
    "no mask": ("", "", "d"),
    "keys": (", float[1,1,1,11] mask", "d2 = Add(d, mask)", "d2"),
    "queries and keys": (", float[11,11] mask", "d2 = Add(mask, d)", "d2"),
    "heads too": (", float[1,3,11,11] mask", "d2 = Add(d, mask)", "d2"),
}


def masked(kind):
    """BERT's form with a mask of some shape."""
    more, mask, name = MASKS[kind]
    return model_of(BERT.format(mask=mask, masked=name), more)


def timm():
    """timm's form: one projection, five axes."""
    return (
        "g (float[1,11,24] x, float[24,72] wide, float[72] bias) => (float[1,11,24] y) "
        "<int64[5] five = {1, 11, 3, 3, 8}, int64 zero = {0}, int64 one = {1}, "
        f"int64 two = {{2}}, int64[3] merge = {{1, 11, 24}}, "
        f"float root = {{2.828427}}> {{ {TIMM} }}"
    )


def heads():
    """Q, K and V with heads in front, of two sequences."""
    kinds = "float[2,3,11,8] q, float[2,3,7,8] k0, float[2,3,7,4] v"
    return f"g ({kinds}) => (float[2,3,11,4] y) <float root = {{2.828427}}> {{ {HEADS} }}"


FORMS = {
    **{f"BERT, {kind}": (masked(kind), WEIGHTS) for kind in MASKS},
    "roots on both sides": (model_of(ROOTS), WEIGHTS),
    "timm": (timm(), ["wide", "bias"]),
    "heads in front": (heads(), []),
}


def kinds(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("form", FORMS)
def test_what_is_taken_in(form, grouped):
    text, weights = FORMS[form]
    told, model = grouped(text, *weights)
    assert "Softmax" in told[-1]
    expected = ["SutureAttention"] if not weights else ["SutureGemm", "SutureAttention"]
    assert kinds(model) == expected


@pytest.mark.parametrize("form", FORMS)
def test_what_the_exact_pipeline_leaves_is_taken_in_as_well(
    form, parse, with_weights, random_inputs, tvm_backend, target, tmp_path
):
    text, weights = FORMS[form]
    model = with_weights(parse(text), weights)
    inputs = random_inputs(model)
    expected = run_reference(model, inputs)
    PassManager(parse_pipeline("exact")).run(model)
    assert ("Attention" in kinds(model)) == bool(weights)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(expected, answers, what=form, rtol=1e-5)
    assert ["attention" in kernel.op for kernel in compiled.kernels].count(True) == 1
    assert sum(kernel.op != "reshape" for kernel in compiled.kernels) == (2 if weights else 1)


@pytest.mark.parametrize("form", FORMS)
def test_answers_are_those_of_onnx_runtime(
    form, parse, with_weights, random_inputs, tvm_backend, target, tmp_path
):
    text, weights = FORMS[form]
    model = with_weights(parse(text), weights)
    inputs = random_inputs(model)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what=form, rtol=1e-5)
    assert any("attention" in kernel.op for kernel in compiled.kernels)


def test_what_is_masked_out_and_what_is_not_a_number(
    parse, with_weights, random_inputs, tvm_backend, target, tmp_path
):
    model = with_weights(parse(masked("queries and keys")), WEIGHTS)
    inputs = random_inputs(model)
    inputs["mask"][...] = np.triu(np.full((11, 11), -np.inf, np.float32), 1)
    inputs["mask"][4] = -np.inf
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    expected = run_reference(model, inputs)
    assert np.isnan(expected["y"][0, 4]).all()
    np.testing.assert_allclose(answers["y"], expected["y"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("axis", masked("no mask").replace("axis=-1", "axis=2")),
        (
            "mask before scale",
            model_of(
                PROJECTED
                + " q = Transpose<perm=[0,2,1,3]>(rq) k = Transpose<perm=[0,2,3,1]>(rk) "
                "v = Transpose<perm=[0,2,1,3]>(rv) s = MatMul(q, k) a = Add(s, mask) "
                "d = Div(a, root) p = Softmax(d) o = MatMul(p, v) "
                "t = Transpose<perm=[0,2,1,3]>(o) y = Reshape(t, merge)",
                ", float[11,11] mask",
            ),
        ),
        (
            "probabilities are an answer",
            model_of(
                BERT.format(mask="", masked="d"), out="float[1,11,24] y, float[1,3,11,11] p"
            ),
        ),
        (
            "scores are an answer",
            model_of(
                BERT.format(mask="", masked="d"), out="float[1,11,24] y, float[1,3,11,11] s"
            ),
        ),
    ],
)
def test_what_is_declined(change, text, grouped):
    told, model = grouped(text, *WEIGHTS)
    assert not any("Softmax" in each for each in told)
    assert "Softmax" in kinds(model)


def test_projections_that_something_else_reads_stay_apart(grouped):
    text = model_of(
        BERT.format(mask="", masked="d"), out="float[1,11,24] y, float[1,11,24] aq"
    )
    _, model = grouped(text, *WEIGHTS)
    assert sorted(kinds(model)) == ["SutureAttention"] + ["SutureGemm"] * 3


def test_projections_of_different_inputs_stay_apart(grouped):
    text = masked("no mask").replace("MatMul(x, wk)", "MatMul(z, wk)")
    text = text.replace("float[1,11,24] x,", "float[1,11,24] x, float[1,11,24] z,")
    _, model = grouped(text, *WEIGHTS)
    assert kinds(model).count("SutureGemm") == 3
    assert "SutureAttention" in kinds(model)

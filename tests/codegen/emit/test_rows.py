"""Softmax, normalisations and a whole encoder layer, against ONNX Runtime."""

import numpy as np
import pytest

from suture.compiler.verify import assert_equal, run_reference

ROWS = {
    "softmax": ("float[2,3,17] x", "float[2,3,17] y", "y = Softmax(x)", "softmax"),
    "log-softmax": ("float[4,9] x", "float[4,9] y", "y = LogSoftmax<axis=1>(x)", "softmax"),
    "softmax of channels": (
        "float[1,5,4,3] x",
        "float[1,5,4,3] y",
        "y = Softmax<axis=1>(x)",
        None,
    ),
    "layer": (
        "float[2,5,24] x, float[24] f, float[24] o",
        "float[2,5,24] y",
        "y = LayerNormalization<epsilon=0.001>(x, f, o)",
        "normalize",
    ),
    "layer of two axes": (
        "float[2,5,7] x, float[5,7] f",
        "float[2,5,7] y",
        "y = LayerNormalization<axis=1>(x, f)",
        "normalize",
    ),
    "instance": (
        "float[2,3,5,7] x, float[3] f, float[3] o",
        "float[2,3,5,7] y",
        "y = InstanceNormalization<epsilon=0.01>(x, f, o)",
        "normalize",
    ),
}
LAYER = """g (float[1,11,24] x, float[24,24] wq, float[24,24] wk, float[24,24] wv,
    float[24,24] wo, float[24] bo, float[24] f1, float[24] o1, float[24,40] w1, float[40] b1,
    float[40,24] w2, float[24] b2, float[24] f2, float[24] o2) => (float[1,11,24] y)
  <int64[4] split = {1, 11, 3, 8}, int64[3] merge = {1, 11, 24}, float root = {2.828427},
   float rtwo = {1.41421356}, float one = {1}, float half = {0.5}> {
  mq = MatMul(x, wq) rq = Reshape(mq, split) q = Transpose<perm=[0,2,1,3]>(rq)
  mk = MatMul(x, wk) rk = Reshape(mk, split) k = Transpose<perm=[0,2,3,1]>(rk)
  mv = MatMul(x, wv) rv = Reshape(mv, split) v = Transpose<perm=[0,2,1,3]>(rv)
  s = MatMul(q, k) d = Div(s, root) p = Softmax(d) o = MatMul(p, v)
  t = Transpose<perm=[0,2,1,3]>(o) h = Reshape(t, merge)
  m1 = MatMul(h, wo) a1 = Add(m1, bo) s1 = Add(a1, x) n1 = LayerNormalization(s1, f1, o1)
  m2 = MatMul(n1, w1) a2 = Add(b1, m2) e0 = Div(a2, rtwo) e1 = Erf(e0) e2 = Add(e1, one)
  e3 = Mul(a2, e2) g = Mul(e3, half)
  m3 = MatMul(g, w2) a3 = Add(m3, b2) s2 = Add(a3, n1) y = LayerNormalization(s2, f2, o2) }"""
LAYER_WEIGHTS = ["wq", "wk", "wv", "wo", "bo", "f1", "o1", "w1", "b1", "w2", "b2", "f2", "o2"]


def check(model, inputs, tvm_backend, target, tmp_path, what):
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what=what, rtol=1e-5)
    return [kernel.op for kernel in compiled.kernels]


@pytest.mark.parametrize("name", ROWS)
def test_rows(name, parse, with_weights, random_inputs, tvm_backend, target, tmp_path):
    given, made, body, rule = ROWS[name]
    weights = [each for each in "fo" if f"] {each}" in given]
    model = with_weights(parse(f"g ({given}) => ({made}) {{ {body} }}"), weights)
    inputs = random_inputs(model)
    kernels = check(model, inputs, tvm_backend, target, tmp_path, name)
    assert rule is None or any(rule in kernel for kernel in kernels)


def test_an_encoder_layer_is_seven_kernels(
    parse, with_weights, random_inputs, tvm_backend, target, tmp_path
):
    model = with_weights(parse(LAYER), LAYER_WEIGHTS)
    inputs = random_inputs(model)
    kernels = check(model, inputs, tvm_backend, target, tmp_path, "layer")
    rules = [kernel.split("{")[0] for kernel in kernels if kernel != "reshape"]
    products = ["gemm", "normalize", "gemm", "gemm", "normalize"]
    assert rules == ["gemm", "attention", *products]


def test_not_a_number_stays_in_its_row(
    parse, with_weights, random_inputs, tvm_backend, target, tmp_path
):
    text = (
        "g (float[3,24] x, float[24,16] w) => (float[3,16] y) { m = MatMul(x, w) y = Relu(m) }"
    )
    model = with_weights(parse(text), ["w"])
    inputs = random_inputs(model)
    inputs["x"][1, 3] = np.nan
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    (answer,) = tvm_backend.load(compiled, model, threads=1)(inputs).values()
    assert np.isnan(answer[1]).all()
    assert np.isfinite(answer[[0, 2]]).all()


@pytest.mark.parametrize(
    "attributes", ["", "<axis = 1>", "<axis = 2>", "<axis = -1>", "<axis = 0>"]
)
@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape", ["2,5,3,1", "1,9,1,1"])
def test_before_set_13_a_softmax_is_over_all_axes_from_one_on(
    parse, tvm_backend, target, tmp_path, random_inputs, attributes, operator, shape
):
    text = f"g (float[{shape}] x) => (float[{shape}] y) {{ y = {operator}{attributes}(x) }}"
    model = parse(text, 11)
    inputs = random_inputs(model)
    compiled = tvm_backend.compile(model, target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what="tvm", rtol=1e-6)

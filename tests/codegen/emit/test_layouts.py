"""Whole networks through blocks of channels, against ONNX Runtime."""

import functools

import numpy as np
import onnx_ir as ir
import pytest

from suture.codegen.parallel import parallelize
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

NETWORKS = {
    "residual, relu, pooled": """
        { a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a)
          m = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(r)
          c = Conv<pads=[1,1,1,1]>(m, w2) s = Add(c, m) y = Relu(s) }""",
    "branches joined": """
        { a = Conv(x, w1) p = Conv(a, v1) q = Conv(a, v2) j = Concat<axis=1>(p, q)
          n = Conv(j, v3) y = GlobalAveragePool(n) }""",
    "a normalisation that stays": """
        { a = Conv(x, w1, b1) r = Sigmoid(a)
          n = BatchNormalization<epsilon=0.01>(r, bs, bt, mean, var) e = Relu(n)
          y = Conv(e, w2) }""",
    "scaled, shifted, plain at the end": """
        { a = Conv(x, w1) m = Mul(a, k) p = Sub(m, one) t = Transpose<perm=[0,2,3,1]>(p)
          y = Relu(t) }""",
    "depthwise and pointwise": """
        { a = Conv<pads=[1,1,1,1]>(x, w1, b1) c = Clip(a, zero, six)
          d = Conv<group=24, pads=[1,1,1,1], strides=[2,2]>(c, dw) e = Clip(d, zero, six)
          y = Conv(e, v1) }""",
    "groups that are no whole blocks": """
        { a = Conv(x, w1) r = Relu(a) c = Conv<group=3, pads=[1,1,1,1]>(r, gw, gb)
          e = Relu(c) y = Conv(e, g1) }""",
    "up and down again": """
        { a = Conv(x, w1, b1) u = ConvTranspose<strides=[2,2]>(a, up, ub) r = Relu(u)
          n = LRN<size=5, alpha=0.3>(r)
          p = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(n)
          m = MaxPool<kernel_shape=[2,2]>(p) y = Conv(m, v1) }""",
    "few of the lanes used": """
        { a = Conv(x, one1) r = Sigmoid(a) y = Add(r, a) }""",
    "an image in and classes out": """
        { a = Conv<strides=[2,2]>(x, w1, b1) r = Relu(a) g = GlobalAveragePool(r)
          f = Flatten(g) y = Gemm<transB=1>(f, fc, fb) }""",
    "read in both layouts": """
        { a = Conv(x, w1) b = Conv(a, v1) f = Flatten(a) q = ReduceSum<keepdims=0>(b, axes)
          y = Concat<axis=1>(f, q) }""",
}
WEIGHTS = {
    "w1": (24, None, 3, 3),
    "b1": (24,),
    "w2": (24, 24, 3, 3),
    "up": (24, 24, 2, 2),
    "ub": (24,),
    "one1": (1, None, 3, 3),
    "v1": (16, 24, 1, 1),
    "v2": (8, 24, 1, 1),
    "v3": (11, 24, 1, 1),
    "dw": (24, 1, 3, 3),
    "gw": (15, 8, 3, 3),
    "gb": (15,),
    "g1": (9, 15, 1, 1),
    "bs": (24,),
    "bt": (24,),
    "mean": (24,),
    "var": (24,),
    "k": (24, 1, 1),
    "one": (),
    "zero": (),
    "six": (),
    "fc": (10, 24),
    "fb": (10,),
}


@pytest.fixture
def network(parse):
    def network(body, channels, images=1):
        text = f"g (float[{images},{channels},9,10] x) => (float[N,M] y) {body}"
        model = parse(text, 18)
        rng = np.random.default_rng(5)
        given = {"zero": np.float32(0), "six": np.float32(0.6)}
        used = {value.name for node in model.graph for value in node.inputs if value}
        for name in sorted(used & {*WEIGHTS, "axes"}):
            shape = [channels if size is None else size for size in WEIGHTS.get(name, ())]
            array = np.asarray(rng.uniform(0.1, 0.5, shape), np.float32)
            if name == "axes":
                array = np.array([2, 3])
            elif len(shape) > 1:
                array -= 0.3
            tensor = ir.tensor(np.asarray(given.get(name, array)), name=name)
            value = ir.Value(
                name=name,
                shape=ir.Shape(tensor.shape),
                type=ir.TensorType(tensor.dtype),
                const_value=tensor,
            )
            for node in model.graph:
                for position, old in enumerate(node.inputs):
                    if old is not None and old.name == name:
                        node.replace_input_with(position, value)
            model.graph.register_initializer(value)
        model.graph.outputs[0].shape = None
        return model

    return network


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("channels", "images"), [(3, 1), (16, 1), (19, 1), (3, 3), (16, 2), (19, 3)]
)
def test_answers_are_those_of_onnx_runtime(
    name, channels, images, network, tvm_backend, target, tmp_path
):
    model = network(NETWORKS[name], channels, images)
    inputs = seeded_inputs(model, np.random.default_rng(1))
    expected = run_reference(model, inputs)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(expected, answers, what=name, rtol=1e-5)
    assert any("conv" in kernel.name for kernel in compiled.kernels)


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_do_not_depend_on_threads(
    name, network, tvm_backend, target, tmp_path, monkeypatch
):
    share_all = functools.partial(parallelize, least_us=0)
    monkeypatch.setattr("suture.codegen.lower.parallelize", share_all)
    model = network(NETWORKS[name], 19)
    inputs = seeded_inputs(model, np.random.default_rng(1))
    two = target.with_memory(2 * target.memory_mb)
    assert two.threads == 2
    compiled = tvm_backend.compile(model.clone(), two, tmp_path)
    answers = [tvm_backend.load(compiled, model, threads=n)(inputs) for n in (1, 2, 2)]
    for answer in answers:
        for output, array in answer.items():
            np.testing.assert_array_equal(array, answers[0][output])
    assert_equal(run_reference(model, inputs), answers[0], what=name, rtol=1e-5)


def test_not_a_number_flows_as_in_onnx_runtime(network, tvm_backend, target, tmp_path):
    model = network("{ a = Conv(x, w1) y = Relu(a) }", 16)
    inputs = seeded_inputs(model, np.random.default_rng(1))
    inputs["x"][0, 3, 4, 5] = np.nan
    inputs["x"][0, 7, 0, 0] = np.inf
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    expected = run_reference(model, inputs)
    np.testing.assert_array_equal(np.isinf(answers["y"]), np.isinf(expected["y"]))


def test_a_layout_nobody_reads_is_not_written(network, tvm_backend, target, tmp_path):
    model = network("{ a = Conv(x, w1) r = Relu(a) y = Conv(r, w2) }", 16)
    compiled = tvm_backend.compile(model, target, tmp_path)
    names = [kernel.name for kernel in compiled.kernels]
    assert len(names) == 4
    assert sum("plain_layout" in name for name in names) == 1
    assert sum("blocked_layout" in name for name in names) == 1

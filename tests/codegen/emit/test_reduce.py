"""Reductions over any axes, against ONNX Runtime."""

import numpy as np
import pytest

from suture.codegen.emit.reduce import KINDS
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs

AXES = {
    "last": ("[2]", True),
    "last two": ("[-2, 2]", True),
    "all": ("[0, 1, 2]", True),
    "first": ("[0]", False),
    "middle": ("[1]", False),
    "first and last": ("[0, 2]", False),
}


def body(kind, axes, keepdims):
    return f"y{kind}{keepdims} = Reduce{kind}<axes={axes}, keepdims={keepdims}>(x)"


@pytest.mark.parametrize("name", AXES)
def test_answers_are_those_of_onnx_runtime(name, parse, tvm_backend, target, tmp_path):
    axes, scheduled = AXES[name]
    made = [(kind, keep) for kind in KINDS for keep in (0, 1)]
    nodes = " ".join(body(kind, axes, keep) for kind, keep in made)
    outputs = ", ".join(f"float y{kind}{keep}" for kind, keep in made)
    model = parse(f"g (float[3,5,19] x) => ({outputs}) {{ {nodes} }}", 11)
    for value in model.graph.outputs:
        value.shape = None
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    expected = run_reference(model, inputs)
    for output, array in expected.items():
        assert answers[output].shape == array.shape
    assert_equal(expected, answers, what=name, rtol=1e-5)
    assert any(k.op.startswith("reduce{") for k in compiled.kernels) == scheduled


@pytest.mark.parametrize(
    ("node", "scheduled"),
    [
        ("y = ReduceSum(x)", True),
        ("y = ReduceSum<noop_with_empty_axes=1>(x)", False),
        ("axes = Constant<value_ints=[1, -1]>() y = ReduceMax(x, axes)", True),
    ],
)
def test_axes_are_an_input_in_newer_operator_sets(
    node, scheduled, parse, tvm_backend, target, tmp_path
):
    model = parse(f"g (float[3,5,19] x) => (float y) {{ {node} }}", 18)
    model.graph.outputs[0].shape = None
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    assert_equal(run_reference(model, inputs), answers, what=node, rtol=1e-5)
    assert any(k.op.startswith("reduce{") for k in compiled.kernels) == scheduled


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_a_mean_over_pixels_reads_blocks_of_channels(
    images, keepdims, parse, with_weights, tvm_backend, target, tmp_path
):
    text = f"""g (float[{images},5,6,7] x, float[12,5,1,1] w) => (float y)
        {{ a = Conv(x, w) y = ReduceMean<axes=[2,3], keepdims={keepdims}>(a) }}"""
    model = with_weights(parse(text), ["w"])
    model.graph.outputs[0].shape = None
    inputs = seeded_inputs(model, np.random.default_rng(1))
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    expected = run_reference(model, inputs)
    assert answers["y"].shape == expected["y"].shape
    assert_equal(expected, answers, what="mean", rtol=1e-5)
    assert not any("reduce{" in kernel.op for kernel in compiled.kernels)

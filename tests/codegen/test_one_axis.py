"""Convolutions of one axis, through whole programs, against ONNX Runtime."""

import numpy as np
import onnx_ir as ir
import pytest

from suture.codegen.one_axis import see_as_images
from suture.codegen.prepare import prepare
from suture.compiler.model import infer_shapes
from suture.compiler.verify import assert_equal, run_reference

NETWORKS = {
    "relu between": (
        "a = Conv<pads=[1,1]>(x, w3, b) r = Relu(a) y = Conv<strides=[2]>(r, v3)",
        {"w3": (16, 12, 3), "b": (16,), "v3": (10, 16, 3)},
    ),
    "dilated, lopsided": (
        "y = Conv<pads=[4,1], dilations=[3], strides=[2]>(x, w3, b)",
        {"w3": (16, 12, 3), "b": (16,)},
    ),
    "padded by itself": (
        'y = Conv<auto_pad="SAME_UPPER", strides=[2]>(x, w3)',
        {"w3": (16, 12, 3)},
    ),
    "depthwise and pointwise": (
        "a = Conv<group=12, pads=[15,15]>(x, dw) s = Sigmoid(a) m = Mul(a, s) y = Conv(m, w1)",
        {"dw": (12, 1, 31), "w1": (8, 12, 1)},
    ),
    "groups": ("y = Conv<group=4, pads=[1,1]>(x, gw)", {"gw": (16, 3, 3)}),
    "normalised, with a residual": (
        "a = Conv<pads=[1,1]>(x, w3) n = BatchNormalization(a, f, f, f, v) r = Relu(n) "
        "s = Add(r, x) t = Mul(s, k) y = Conv(t, w1)",
        {"w3": (12, 12, 3), "f": (12,), "v": (12,), "k": (12, 1), "w1": (8, 12, 1)},
    ),
    "transposed": (
        "y = ConvTranspose<strides=[2], pads=[1,1]>(x, up, b)",
        {"up": (12, 9, 4), "b": (9,)},
    ),
    "transposed in groups": (
        "y = ConvTranspose<strides=[2], output_padding=[1], group=3>(x, up)",
        {"up": (12, 4, 3)},
    ),
    "pooled": (
        "a = Conv(x, w1) m = MaxPool<kernel_shape=[3], strides=[2], pads=[1,1]>(a) "
        "p = AveragePool<kernel_shape=[2], count_include_pad=1, pads=[1,0]>(m) "
        "y = GlobalAveragePool(p)",
        {"w1": (8, 12, 1)},
    ),
    "joined along the signal": (
        "a = Conv(x, w1) r = Relu(a) y = Concat<axis=-1>(a, x, r)",
        {"w1": (12, 12, 1)},
    ),
    "read as rows as well": (
        "a = Conv(x, w1) r = Relu(a) t = Transpose<perm=[0,2,1]>(r) y = MatMul(t, r)",
        {"w1": (8, 12, 1)},
    ),
    "a long window of one channel": (
        "one = ReduceMean<axes=[1]>(x) y = Conv<strides=[5], pads=[20,20]>(one, long)",
        {"long": (16, 1, 40)},
    ),
}


def network(parse, text, shapes, images=1):
    """A network whose constants are initializers."""
    ports = "".join(f", float[{','.join(map(str, s))}] {name}" for name, s in shapes.items())
    model = parse(f"g (float[{images},12,45] x{ports}) => (float[N,M,K] y) {{ {text} }}")
    rng = np.random.default_rng(3)
    for value in list(model.graph.inputs)[1:]:
        array = rng.standard_normal(shapes[value.name]).astype(np.float32) / 3
        array = np.abs(array) if value.name == "v" else array
        value.const_value = ir.tensor(array, name=value.name)
        model.graph.inputs.remove(value)
        model.graph.register_initializer(value)
    model.graph.outputs[0].shape = None
    return model


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_answers_are_those_of_onnx_runtime(name, images, parse, tvm_backend, target, tmp_path):
    model = network(parse, *NETWORKS[name], images)
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    program = tvm_backend.load(compiled, model, threads=1)
    x = np.random.default_rng(0).standard_normal((images, 12, 45)).astype(np.float32)
    assert_equal(run_reference(model, {"x": x}), program({"x": x}), what=name)


@pytest.mark.parametrize("name", sorted({*NETWORKS} - {"transposed in groups"}))
def test_a_rule_computes_them(name, parse, tvm_backend, target, tmp_path):
    model = network(parse, *NETWORKS[name])
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    assert any("conv{" in kernel.op for kernel in compiled.kernels)


def test_what_stands_between_is_done_to_images(parse):
    model = prepare(network(parse, *NETWORKS["relu between"]))
    kinds = [node.op_type for node in model.graph]
    assert kinds == ["Reshape", "Conv", "Relu", "Conv", "Reshape"]
    assert [len(node.outputs[0].shape) for node in model.graph] == [4, 4, 4, 4, 3]
    assert see_as_images(model) == 0


@pytest.mark.parametrize(
    "text",
    [
        "y = Relu(x)",
        "y = MaxPool<kernel_shape=[3]>(x)",
        "s = Softmax(x) y = Conv(s, w)",
    ],
)
def test_what_stays(text, parse):
    model = parse(f"g (float[1,12,45] x, float[4,12,3] w) => (float[N,M,K] y) {{ {text} }}")
    infer_shapes(model)
    assert see_as_images(model) == 0


def test_without_known_shapes_nothing_changes(parse):
    model = network(parse, "y = Conv(x, w1)", {"w1": (8, 12, 1)})
    model.graph.inputs[0].shape = None
    assert see_as_images(model) == 0

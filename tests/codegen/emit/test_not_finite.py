"""What is infinite or no number, through whole programs, against ONNX Runtime."""

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.verify import assert_equal, run_reference

IMAGE = "float[1,20,9,10] x"
NETWORKS = {
    "pointwise behind lanes of nothing": (
        "a = Conv(x, w1) r = Relu(a) y = Conv(r, v1)",
        {"w1": (13, 20, 1, 1), "v1": (10, 13, 1, 1)},
    ),
    "3×3, whose zeros meet borders": (
        "a = Conv(x, w1, b1) s = Sigmoid(a) y = Conv<pads=[1,1,1,1]>(s, w3)",
        {"w1": (13, 20, 1, 1), "b1": (13,), "w3": (10, 13, 3, 3)},
    ),
    "Winograd twice": (
        "a = Conv<pads=[1,1,1,1]>(x, w1) r = Relu(a) y = Conv<pads=[1,1,1,1]>(r, w3)",
        {"w1": (21, 20, 3, 3), "w3": (17, 21, 3, 3)},
    ),
    "strided": ("y = Conv<pads=[1,1,1,1], strides=[2,2]>(x, w1)", {"w1": (12, 20, 3, 3)}),
    "depthwise": (
        "d = Conv<group=20, pads=[1,1,1,1]>(x, dw) c = Clip(d, zero, six) y = Conv(c, w1)",
        {"dw": (20, 1, 3, 3), "w1": (5, 20, 1, 1)},
    ),
    "groups": (
        "a = Conv<group=5, pads=[1,1,1,1]>(x, gw, gb) r = Tanh(a) y = Conv<group=5>(r, g1)",
        {"gw": (15, 4, 3, 3), "gb": (15,), "g1": (10, 3, 1, 1)},
    ),
    "groups of one channel": (
        "y = Conv<group=20, pads=[1,1,1,1]>(x, tw)",
        {"tw": (40, 1, 3, 3)},
    ),
    "wide groups": (
        "y = Conv<group=2, pads=[1,1,1,1]>(x, hw)",
        {"hw": (14, 10, 3, 3)},
    ),
    "transposed": (
        "a = Conv(x, w1) t = ConvTranspose<strides=[2,2]>(a, up) r = Relu(t) y = Conv(r, v1)",
        {"w1": (13, 20, 1, 1), "up": (13, 9, 2, 2), "v1": (5, 9, 1, 1)},
    ),
    "a sum of two": (
        "a = Conv(x, w1) s = Add(a, x) r = Relu(s) y = Conv(r, v1)",
        {"w1": (20, 20, 1, 1), "v1": (5, 20, 1, 1)},
    ),
    "joined": (
        "a = Conv(x, w1) b = Conv(x, v1) c = Concat<axis=1>(a, b) r = Relu(c) "
        "y = Conv<pads=[1,1,1,1]>(r, w3)",
        {"w1": (5, 20, 1, 1), "v1": (9, 20, 1, 1), "w3": (6, 14, 3, 3)},
    ),
    "scaled, shifted, clipped before": (
        "a = Conv(x, w1) n = BatchNormalization(a, f, b1, b1, v) r = Relu(n) y = Conv(r, v1)",
        {"w1": (13, 20, 1, 1), "f": (13,), "b1": (13,), "v": (13,), "v1": (5, 13, 1, 1)},
    ),
    "a mean": (
        "a = Conv(x, w1) y = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(a)",
        {"w1": (13, 20, 1, 1)},
    ),
    "between pixels": (
        'a = Conv(x, w1) y = Resize<mode="linear">(a, , twice)',
        {"w1": (13, 20, 1, 1)},
    ),
    "an instance's norm": ("y = InstanceNormalization(x, f, f)", {"f": (20,)}),
    "a layer's norm": ("y = LayerNormalization<axis=-1>(x, f, f)", {"f": (10,)}),
    "log-sum-exp of rows": ("y = ReduceLogSumExp<keepdims=0>(x, last)", {}),
    "log-sum-exp of columns": ("y = ReduceLogSumExp(x, third)", {}),
    "softmax": ("y = Softmax<axis=-1>(x)", {}),
    "scores of a mask": (
        "t = Transpose<perm=[0,1,3,2]>(x) s = MatMul(x, t) p = Softmax(s) y = MatMul(p, x)",
        {},
    ),
    "product": (
        "a = MatMul(x, m) r = Relu(a) y = MatMul(r, n)",
        {"m": (10, 13), "n": (13, 4)},
    ),
}
ELEMENTWISE = (
    *(
        "Relu",
        "LeakyRelu",
        "Sigmoid",
        "HardSwish",
        "HardSigmoid",
        "Tanh",
        "Erf",
        "Elu",
        "Selu",
    ),
    *("Celu", "Softplus", "Gelu", "Mish", "Exp", "Abs", "Sqrt", "Reciprocal"),
    *("Sign", "ThresholdedRelu"),
)
for kind in ELEMENTWISE:
    NETWORKS[kind] = f"y = {kind}(x)", {}
    NETWORKS[f"{kind} behind a convolution"] = (
        f"a = Conv(x, w1) y = {kind}(a)",
        {"w1": (13, 20, 1, 1)},
    )
for name, text in {
    "Clip": "Clip(x, zero, six)",
    "Max": "Max(x, c)",
    "Min": "Min(c, x)",
}.items():
    NETWORKS[name] = f"y = {text}", {"c": (10,)} if "c" in text[4:] else {}
NUMBERS = {
    "not-a-number": [np.nan],
    "infinity": [np.inf],
    "minus infinity": [-np.inf],
    "all of them": [np.nan, np.inf, -np.inf],
}


def constants(given):
    rng = np.random.default_rng(5)
    known = {
        "zero": np.float32(0),
        "six": np.float32(0.6),
        "last": np.array([-1]),
        "third": np.array([2]),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    drawn = {
        name: (rng.standard_normal(shape) / 4).astype(np.float32)
        for name, shape in given.items()
    }
    if "v" in drawn:
        drawn["v"] = np.abs(drawn["v"])
    return known | drawn


def network(parse, text, given):
    """A network whose constants are initializers."""
    model = parse(f"g ({IMAGE}) => (float[N,M,H,W] y) {{ {text} }}", 20)
    for name, array in constants(given).items():
        uses = [v for node in model.graph for v in node.inputs if v and v.name == name]
        if uses:
            tensor = ir.tensor(array, name=name)
            for value in uses[:1]:
                value.shape, value.type = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
                value.const_value = tensor
                model.graph.register_initializer(value)
    model.graph.outputs[0].shape = None
    return model


@pytest.mark.parametrize("name", NETWORKS)
def test_it_flows_as_in_onnx_runtime(name, parse, tvm_backend, target, tmp_path):
    model = network(parse, *NETWORKS[name])
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    program = tvm_backend.load(compiled, model, threads=1)
    rng = np.random.default_rng(0)
    for kind, numbers in NUMBERS.items():
        for share in (0.0, 0.02, 1.0):
            x = rng.standard_normal((1, 20, 9, 10)).astype(np.float32)
            chosen = rng.random(x.shape) < share
            chosen[0, 7, 4, 9] = True
            x[chosen] = rng.choice(numbers, chosen.sum())
            wanted = run_reference(model, {"x": x})
            assert_equal(wanted, program({"x": x}), what=f"{name}, {kind}, {share}")


POOLS = {
    "MaxPool": "y = MaxPool<kernel_shape=[3,3], pads=[1,1,0,1]>(x)",
    "GlobalMaxPool": "y = GlobalMaxPool(x)",
    "MaxPool behind a convolution": (
        "a = Conv<group=20>(x, v) y = MaxPool<kernel_shape=[3,3], pads=[1,1,0,1]>(a)"
    ),
    "ReduceMax": "y = ReduceMax(x, third)",
}


@pytest.mark.parametrize("name", POOLS)
def test_the_largest_of_minus_infinities_is_one(name, parse, tvm_backend, target, tmp_path):
    """As ONNX says; ONNX Runtime's pools give the least finite number in some places."""
    model = network(parse, POOLS[name], {"v": (20, 1, 1, 1)})
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    program = tvm_backend.load(compiled, model, threads=1)
    x = np.abs(np.random.default_rng(0).standard_normal((1, 20, 9, 10))).astype(np.float32)
    x[0, :5] = -np.inf
    (y,) = program({"x": x}).values()
    assert not np.isfinite(y[0, :5]).any()
    assert np.isfinite(y[0, 5:]).all()
    (wanted,) = run_reference(model, {"x": x}).values()
    least = np.finfo(np.float32).min
    np.testing.assert_array_equal(np.where(y == -np.inf, least, y), np.maximum(wanted, least))

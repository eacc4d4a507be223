import numpy as np
import onnx_ir as ir
import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare
from suture.compiler.model import infer_shapes

HEAD = """g (uint8[1,8,6,6] x, float sx, uint8 zx, int8[16,8,1,1] w, float[16] sw, int8[16] zw,
    int32[16] b, float[16] sb, int32[16] zb, float so, uint8 zo, uint8[1,16,6,6] other)
    => ({outputs}) {{ f = DequantizeLinear(x, sx, zx) v = DequantizeLinear<axis=0>(w, sw, zw)
    c = DequantizeLinear<axis=0>(b, sb, zb) {body} }}"""
CONSTANTS = {
    "sx": np.float32(0.1),
    "zx": np.uint8(3),
    "sw": np.linspace(0.01, 0.02, 16, dtype=np.float32),
    "zw": np.zeros(16, np.int8),
    "sb": np.linspace(0.001, 0.002, 16, dtype=np.float32),
    "zb": np.zeros(16, np.int32),
    "so": np.float32(0.2),
    "zo": np.uint8(7),
    "b": np.arange(16, dtype=np.int32),
    "w": np.arange(128, dtype=np.int8).reshape(16, 8, 1, 1),
}


@pytest.fixture
def kinds(parse):
    """The operators of a model of quantised numbers, once grouped, and the model."""

    def kinds(body, outputs, replaced=None):
        model = parse(HEAD.format(body=body, outputs=outputs))
        for name, array in {**CONSTANTS, **(replaced or {})}.items():
            value = next(v for v in model.graph.inputs if v.name == name)
            model.graph.inputs.remove(value)
            value.const_value = ir.tensor(array, name=name)
            value.shape = ir.Shape(array.shape)
            model.graph.register_initializer(value)
        infer_shapes(model)
        model = prepare(model)
        group(model, Rules.installed().matchers)
        return [node.op_type for node in model.graph], model

    return kinds


def test_from_quantised_to_quantised(kinds):
    nodes, model = kinds(
        "y = Conv(f, v, c) r = Relu(y) q = QuantizeLinear(r, so, zo)", "uint8[1,16,6,6] q"
    )
    assert nodes == ["SutureQConv"]
    (node,) = model.graph
    assert node.attributes["low"].value == 0.0
    assert node.attributes["zero"].value == 7
    scale, bias = (value.const_value.numpy() for value in node.inputs[2:])
    np.testing.assert_allclose(scale, CONSTANTS["sw"] * np.float32(0.1) / 0.2, rtol=1e-6)
    np.testing.assert_allclose(bias, np.arange(16) * CONSTANTS["sb"] / 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("body", "outputs", "wanted"),
    [
        ("y = Conv(f, v, c)", "float[1,16,6,6] y", ["SutureQConv"]),
        (
            "y = Conv(f, v) q = QuantizeLinear(y, so, zo)",
            "uint8[1,16,6,6] q, float[1,16,6,6] y",
            ["SutureQConv", "QuantizeLinear"],
        ),
        (
            "y = Conv(f, v) q = QuantizeLinear(y, so, zo) d = DequantizeLinear(q, so, zo)"
            " m = MaxPool<kernel_shape=[2,2]>(d) z = QuantizeLinear(m, so, zo)",
            "uint8[1,16,5,5] z",
            ["SutureQConv", "MaxPool"],
        ),
        (
            "y = Conv(f, v) d = DequantizeLinear(other, sx, zo) j = Concat<axis=1>(y, d)"
            " z = QuantizeLinear(j, so, zo)",
            "uint8[1,32,6,6] z",
            ["SutureQConv", "DequantizeLinear", "QuantizeLinear", "Concat"],
        ),
    ],
    ids=["to float", "read elsewhere", "moved", "joined"],
)
def test_what_stands_around(kinds, body, outputs, wanted):
    assert sorted(kinds(body, outputs)[0]) == sorted(wanted)


@pytest.mark.parametrize(
    "replaced",
    [
        {"sx": np.full(8, 0.1, np.float32), "zx": np.zeros(8, np.uint8)},
        {"zw": np.full(16, -100, np.int8)},
    ],
    ids=["a scale a channel", "weights beyond 8 bits"],
)
def test_others_stay(kinds, replaced):
    nodes, _ = kinds("y = Conv(f, v, c)", "float[1,16,6,6] y", replaced)
    assert "SutureQConv" not in nodes


@pytest.mark.parametrize(("groups", "taken"), [(8, True), (4, False)])
def test_groups_of_one_channel_have_a_kernel(kinds, groups, taken):
    replaced = {
        "w": np.arange(64 // groups, dtype=np.int8).reshape(8, 8 // groups, 1, 1),
        "sw": np.full(8, 0.01, np.float32),
        "zw": np.zeros(8, np.int8),
    }
    body = f"y = Conv<group={groups}>(f, v)"
    nodes, _ = kinds(body, "float[1,8,6,6] y", replaced)
    assert ("SutureQConv" in nodes) is taken

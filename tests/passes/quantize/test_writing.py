"""What is written: what ONNX Runtime's own tool writes, and what becomes kernels in 8 bits."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare
from suture.compiler.target import find_target
from suture.compiler.verify import run_reference
from suture.passes.contract import Interface
from suture.passes.quantize.calibration import find_ranges
from suture.passes.quantize.candidates import find_units
from suture.passes.quantize.writing import Numbers, moves, quantize, rounded

X86, ARM = (Numbers.of(find_target(f"lambda-{arch}")) for arch in ("x86_64", "arm64"))
NET = """g (float[1,4,8,8] x) => (float[1,5] y) {
    c = Conv<pads=[1,1,1,1]>(x, w, b) r = Relu(c) p = MaxPool<kernel_shape=[2,2],
    strides=[2,2]>(r) d = Conv(p, v) s = Relu(d) f = Flatten(s)
    y = Gemm<transB=1>(f, g, h) }"""
WEIGHTS = {"w": (8, 4, 3, 3), "b": (8,), "v": (6, 8, 3, 3), "g": (5, 24), "h": (5,)}


def requests_for(model, count=4, seed=0):
    rng = np.random.default_rng(seed)
    return [
        {
            value.name: rng.standard_normal(value.shape.numpy()).astype(np.float32)
            for value in model.graph.inputs
        }
        for _ in range(count)
    ]


def in_8_bits(model, numbers=X86, requests=None, only=None):
    """The model with all of its units, or only those of some nodes, in 8 bits."""
    units = [u for u in find_units(model)[0] if only is None or set(u.nodes) & only]
    nodes = [node for node in model.graph for u in units if node.outputs[0].name in u.nodes]
    names = list(dict.fromkeys(moves(node.inputs[0])[0].name for node in nodes))
    ranges = find_ranges(model, names, requests or requests_for(model))
    made = model.clone()
    quantize(made, units, ranges, numbers)
    Interface.of(model).check(made, "quantize")
    return made


def kernels(model):
    prepared = prepare(model.clone())
    group(prepared, Rules.installed().matchers)
    return [node.op_type for node in prepared.graph]


def operators(model):
    return [node.op_type for node in model.graph]


@pytest.mark.parametrize("numbers", [X86, ARM], ids=["x86-64", "arm64"])
def test_every_product_is_a_kernel_in_8_bits(parse, numbers):
    model = parse(NET, **WEIGHTS)
    made = in_8_bits(model, numbers)
    assert kernels(made) == [
        "QuantizeLinear",
        "SutureQConv",
        "MaxPool",
        "SutureQConv",
        "Flatten",
        "SutureQGemm",
    ]
    request = requests_for(model)[0]
    want, got = (run_reference(each, request)["y"] for each in (model, made))
    assert np.abs(want - got).max() < 0.05 * np.abs(want).max()
    assert np.abs(want - got).max() > 0


def test_a_block_of_mobilenet_stays_in_8_bits(parse):
    text = """g (float[1,8,9,9] x) => (float[1,8,5,5] y) { a = Conv(x, e) b = Relu(a)
        c = Conv<group=24, strides=[2,2], pads=[1,1,1,1]>(b, d) r = Relu(c) y = Conv(r, p) }"""
    made = in_8_bits(parse(text, e=(24, 8, 1, 1), d=(24, 1, 3, 3), p=(8, 24, 1, 1)))
    assert kernels(made) == ["QuantizeLinear", *["SutureQConv"] * 3]


def test_numbers_suit_the_instructions():
    assert (X86.activations, X86.most) == ("uint8", 64)
    assert (ARM.activations, ARM.most) == ("int8", 127)
    assert Numbers.of(None) == X86
    assert Numbers.of(find_target("lambda-x86_64"), 8).most == 127


class Requests(CalibrationDataReader):
    def __init__(self, requests):
        self.left = iter(requests)

    def get_next(self):
        return next(self.left, None)


def test_scales_are_those_of_onnx_runtime(parse, tmp_path):
    model = parse(NET, **WEIGHTS)
    onnx.save(ir.to_proto(model), tmp_path / "plain.onnx")
    quantize_static(
        tmp_path / "plain.onnx",
        tmp_path / "made.onnx",
        Requests(requests_for(model)),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        per_channel=True,
        reduce_range=True,
    )
    theirs = ir.load(tmp_path / "made.onnx").graph.initializers
    ours = in_8_bits(model).graph.initializers
    for name in ("w", "v", "g"):
        np.testing.assert_array_equal(
            numbers(ours, f"{name}.quantised"), numbers(theirs, f"{name}_quantized")
        )
        np.testing.assert_allclose(
            numbers(ours, f"{name}.scale"), numbers(theirs, f"{name}_scale"), rtol=1e-6
        )
    for name in ("x", "r", "s"):
        np.testing.assert_allclose(
            numbers(ours, f"{name}.scale"), numbers(theirs, f"{name}_scale"), rtol=1e-6
        )
        assert numbers(ours, f"{name}.zero") == numbers(theirs, f"{name}_zero_point")


def numbers(initializers, name):
    return initializers[name].const_value.numpy()


def test_others_keep_their_numbers_where_no_kernel_in_8_bits_makes_them(parse):
    text = """g (float[1,4] x) => (float[1,6] y, float[1,4] z)
        { a = Exp(x) y = MatMul(a, w) z = Neg(a) }"""
    made = in_8_bits(parse(text, w=(4, 6)))
    assert made.graph.outputs[1].producer().inputs[0].name == "a"


def test_everyone_reads_in_8_bits_what_a_kernel_in_8_bits_makes(parse):
    text = """g (float[1,4] x) => (float[1,6] y, float[1,8] z)
        { m = MatMul(x, w) a = Relu(m) y = MatMul(a, v) z = Neg(a) }"""
    made = in_8_bits(parse(text, w=(4, 8), v=(8, 6)))
    assert made.graph.outputs[1].producer().inputs[0].producer().op_type == "DequantizeLinear"
    assert kernels(made).count("SutureQGemm") == 2


def test_a_value_is_quantised_once_for_all_that_read_it(parse):
    text = """g (float[1,4,6,6] x) => (float[1,8,3,3] y, float[1,8,3,3] z)
        { p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) y = Conv(p, w) z = Conv(p, v) }"""
    made = in_8_bits(parse(text, w=(8, 4, 1, 1), v=(8, 4, 1, 1)))
    assert operators(made).count("QuantizeLinear") == 2  # of x and of what is pooled
    assert sorted(kernels(made)) == ["MaxPool", "QuantizeLinear", "SutureQConv", "SutureQConv"]


def test_shared_weights_are_stored_once(parse):
    text = """g (float[1,4] x, float[1,4] t) => (float[1,6] y, float[1,6] z)
        { y = MatMul(x, w) z = MatMul(t, w) }"""
    made = in_8_bits(parse(text, w=(4, 6)))
    stored = [v for v in made.graph.initializers.values() if v.const_value.size == 24]
    assert [value.dtype for value in stored] == [ir.DataType.INT8]


def test_a_branch_reads_what_it_read(parse):
    text = """g (float[1,4] x, bool c) => (float[1,4] y) { m = MatMul(x, w) r = Relu(m)
        n = MatMul(r, v) y = If(c) <then_branch = t () => (float[1,4] a) { a = Neg(r) },
        else_branch = e () => (float[1,4] d) { d = Neg(n) }> }"""
    model = parse(text, w=(4, 4), v=(4, 4))
    requests = [{"x": np.float32([[1, -2, 3, 4]]), "c": np.array(c)} for c in (True, False)]
    made = in_8_bits(model, requests=requests)
    for request in requests:
        want, got = (run_reference(each, request)["y"] for each in (model, made))
        np.testing.assert_allclose(got, want, atol=0.1 * np.abs(want).max())


def test_names_in_use_are_left_alone(parse):
    text = """g (float[1,4] x) => (float[1,6] y)
        { a = Mul(x, q) y = MatMul(a, w) }"""
    names = {"w": (4, 6), "q": np.float32([3])}
    model = parse(text, **names)
    model.graph.initializers["q"].name = "a.scale"
    made = in_8_bits(model)
    assert made.graph.initializers["a.scale"].const_value.numpy() == 3
    request = requests_for(model)[0]
    want, got = (run_reference(each, request)["y"] for each in (model, made))
    np.testing.assert_allclose(got, want, atol=0.05 * np.abs(want).max())


def test_a_filter_of_zeros_stays_zero():
    weights = np.zeros((2, 3), np.float32)
    weights[1] = [1, -2, 1e-30]
    whole, scale = rounded(weights, 0, 64)
    np.testing.assert_array_equal(whole, [[0, 0, 0], [32, -64, 0]])
    np.testing.assert_allclose(scale, [1, 2 / 64])


@given(
    most=st.sampled_from([64, 127]),
    axis=st.integers(0, 1),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    power=st.integers(-30, 30),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_weights_are_off_by_half_a_step_at_most(most, axis, shape, power, seed):
    rng = np.random.default_rng(seed)
    weights = (rng.standard_normal(shape) * 10.0**power).astype(np.float32)
    whole, scale = rounded(weights, axis, most)
    step = np.moveaxis(np.broadcast_to(scale, (shape[1 - axis], shape[axis])), 1, axis)
    assert np.abs(whole.astype(int)).max() <= most
    assert (np.abs(whole * step - weights) <= 0.5001 * step).all()


@given(
    layers=st.lists(
        st.tuples(
            st.sampled_from(["", "Relu", "MaxPool", "Add"]),
            st.integers(4, 9),
            st.sampled_from([1, 3]),
        ),
        min_size=1,
        max_size=4,
    ),
    kept=st.sets(st.integers(0, 3)),
    arm=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_chains_of_convolutions_stay_about_what_they_were(layers, kept, arm):
    nodes, weights, value, channels = [], [], "x", 4
    rng = np.random.default_rng(len(layers))
    for at, (then, filters, kernel) in enumerate(layers):
        array = rng.standard_normal((filters, channels, kernel, kernel)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(array, f"w{at}"))
        pads = [kernel // 2] * 4
        nodes.append(onnx.helper.make_node("Conv", [value, f"w{at}"], [f"c{at}"], pads=pads))
        value, channels = f"c{at}", filters
        if then:
            extra = {"kernel_shape": [2, 2]} if then == "MaxPool" else {}
            reads = [value] * (2 if then == "Add" else 1)
            nodes.append(onnx.helper.make_node(then, reads, [f"t{at}"], **extra))
            value = f"t{at}"
    inputs = [onnx.helper.make_tensor_value_info("x", 1, [1, 4, 9, 9])]
    outputs = [onnx.helper.make_tensor_value_info(value, 1, None)]
    graph = onnx.helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [onnx.helper.make_opsetid("", 18)]
    proto = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    model = ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))
    only = {f"c{at}" for at in range(len(layers)) if at not in kept}
    made = in_8_bits(model, ARM if arm else X86, only=only)
    assert kernels(made).count("SutureQConv") == len(only)
    request = requests_for(model)[0]
    want, got = (next(iter(run_reference(m, request).values())) for m in (model, made))
    assert np.sqrt(np.square(want - got).mean()) < 0.05 * np.sqrt(np.square(want).mean())

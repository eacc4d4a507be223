"""Networks that onnxruntime.quantization has quantised, against QDQ computed in float."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)

from suture.compiler.verify import run_reference, seeded_inputs
from suture.passes.recognise.values import numbers_of

NETWORKS = {
    "residual, pooled, to classes": """g (float[1,3,17,16] x, float[24,3,3,3] w0, float[24] b0,
        float[24,24,3,3] w1, float[24] b1, float[24,24,1,1] w2, float[10,24] w3, float[10] b3)
        => (float[1,10] y)
        { a = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w0, b0) r = Relu(a)
          m = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(r)
          c = Conv<pads=[1,1,1,1]>(m, w1, b1) d = Conv(m, w2) s = Add(c, d) t = Relu(s)
          p = GlobalAveragePool(t) f = Flatten(p) y = Gemm<transB=1>(f, w3, b3) }""",
    "joined and depthwise": """g (float[1,16,9,10] x, float[8,16,1,1] w0, float[16,16,3,3] w1,
        float[24,1,3,3] w2, float[24] b2) => (float[1,24,9,10] y)
        { a = Conv(x, w0) b = Conv<pads=[1,1,1,1]>(x, w1) j = Concat<axis=1>(a, b)
          d = Conv<group=24, pads=[1,1,1,1]>(j, w2, b2) y = Relu(d) }""",
    "products": """g (float[1,12,32] x, float[32,48] w0, float[48] b0, float[48,32] w1)
        => (float[1,12,32] y)
        { a = MatMul(x, w0) b = Add(a, b0) r = Relu(b) c = MatMul(r, w1) y = Add(c, x) }""",
    "of two images": """g (float[2,3,17,16] x, float[24,3,3,3] w0, float[24] b0,
        float[24,24,3,3] w1) => (float[2,24,9,8] y)
        { a = Conv<strides=[2,2], pads=[1,1,1,1]>(x, w0, b0) r = Relu(a)
          c = Conv<pads=[1,1,1,1]>(r, w1) s = Add(c, r) y = Relu(s) }""",
}


class Calibration(CalibrationDataReader):
    """Three seeded requests."""

    def __init__(self, model):
        rng = np.random.default_rng(1)
        self.requests = iter([seeded_inputs(model, rng) for _ in range(3)])

    def get_next(self):
        return next(self.requests, None)


@pytest.fixture
def quantised(parse, with_weights, tmp_path):
    def quantised(text, activations, *, reduced):
        model = parse(text)
        names = [v.name for v in model.graph.inputs if v.name != "x"]
        model = with_weights(model, names)
        onnx.save(ir.to_proto(model), tmp_path / "float.onnx")
        quantize_static(
            tmp_path / "float.onnx",
            tmp_path / "quantised.onnx",
            Calibration(model),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=reduced,
            activation_type=activations,
            weight_type=QuantType.QInt8,
        )
        return ir.load(tmp_path / "quantised.onnx")

    return quantised


def quantum(model):
    """The step between neighbouring answers of a model that dequantises them at its end."""
    node = model.graph.outputs[0].producer()
    assert node.op_type == "DequantizeLinear"
    return float(numbers_of(node.inputs[1]).item())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("reduced", [False, True], ids=["8 bits", "7 bits"])
@pytest.mark.parametrize("activations", [QuantType.QUInt8, QuantType.QInt8], ids=["u8", "s8"])
def test_answers_are_those_of_the_float_form(
    name, reduced, activations, quantised, tvm_backend, target, tmp_path
):
    model = quantised(NETWORKS[name], activations, reduced=reduced)
    inputs = seeded_inputs(model, np.random.default_rng(2))
    wanted = run_reference(model, inputs)["y"]
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)["y"]
    apart = np.rint(np.abs(answers - wanted) / quantum(model))
    # A quantum that rounds another way moves those behind it.
    assert apart.max() <= 2
    assert (apart > 0).mean() <= 0.01
    names = [kernel.op for kernel in compiled.kernels]
    assert any(op.startswith(("int8-conv", "int8-gemm")) for op in names)
    assert not any(op.startswith(("gemm{", "depthwise-conv{")) for op in names)


def test_weights_are_kept_in_8_bits(quantised, tvm_backend, target, tmp_path):
    model = quantised(NETWORKS["products"], QuantType.QUInt8, reduced=False)
    compiled = tvm_backend.compile(model, target, tmp_path)
    assert compiled.weight_bytes < 2 * 2 * 32 * 48

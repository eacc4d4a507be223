"""What TVM or ONNX Runtime gets wrong is mended, written out, or refused with its reason."""

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx.reference import ReferenceEvaluator

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.expand import has_body
from suture.codegen.faults import ORT_FAULTS, TVM_FAULTS
from suture.errors import BackendError

MAXIMA = """
g (float[1, 1, 4, 4] x, float[1, 4] r, int64[1] b) => (float[1, 1, 2, 2] y) {
    y = RoiAlign<mode = "max", output_height = 2, output_width = 2>(x, r, b)
}
"""
NORMALISING = """
g (float[2, 3] x, float[3] s, float[3] b, float[3] m, float[3] v)
    => (float[2, 3] y, float[3] mo, float[3] vo) {
    y, mo, vo = BatchNormalization<training_mode = 1>(x, s, b, m, v)
}
"""
DROPPING = """
g (float[2, 3] x, float r, bool t) => (float[2, 3] y) { y = Dropout(x, r, t) }
"""
ALIGNING = """
g (float[1, 1, 2, 4] x) => (float[1, 1, h, w] y) {
    e = Constant<value = float[0] {}>()
    s = Constant<value = float[4] {1.0, 1.0, 0.6, 0.6}>()
    y = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(x, e, s)
}
"""
UNPOOLING = """
g (float[1, 1, 2, 2] x, int64[1, 1, 2, 2] i) => (float[1, 1, 5, 5] y) {
    o = Constant<value = int64[4] {1, 1, 5, 5}>()
    y = MaxUnpool<kernel_shape = [2, 2], strides = [2, 2]>(x, i, o)
}
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (MAXIMA, "RoiAlign.*other points than ONNX's"),
        (NORMALISING, "BatchNormalization.*not by the batch's"),
        (DROPPING, "Dropout.*drops nothing"),
    ],
)
def test_what_tvm_gets_wrong_is_refused(parse, tvm_backend, target, tmp_path, text, reason):
    with pytest.raises(BackendError, match=reason):
        tvm_backend.compile(parse(text, 16), target, tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DROPPING, "Dropout.*by chance"),
        (ALIGNING, "Resize.*a whole number of points"),
        (UNPOOLING, "MaxUnpool.*another output shape"),
    ],
)
def test_what_onnx_runtime_gets_wrong_is_refused(parse, target, tmp_path, text, reason):
    with pytest.raises(BackendError, match=reason):
        OrtBackend().compile(parse(text, 13), target, tmp_path)


def test_onnx_runtime_gets_what_it_gets_wrong_written_out(parse, target, tmp_path):
    text = """
    g (float[1, 1, 2, 4] q, float[1, 1, 2, 4] k, float[1, 1, 2, 4] v)
        => (float[1, 1, 2, 4] y, float[1, 1, 2, 2] w) {
        y, , , w = Attention<is_causal = 1, qk_matmul_output_mode = 2>(q, k, v)
    }
    """
    model = parse(text, 23)
    compiled = OrtBackend().compile(model, target, tmp_path)
    assert "Attention" not in {kernel.op for kernel in compiled.kernels}
    rng = np.random.default_rng(0)
    inputs = {n: rng.standard_normal((1, 1, 2, 4)).astype(np.float32) for n in "qkv"}
    answers = OrtBackend().load(compiled, model, threads=1)(inputs)
    wanted = ReferenceEvaluator(ir.to_proto(model)).run(None, inputs)
    for expected, actual in zip(wanted, answers.values(), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert np.isinf(answers["w"][0, 0, 0, 1])


def test_element_types_that_no_request_holds_are_refused(parse, target, tmp_path):
    text = "g (bfloat16[2] x) => (float[2] y) { y = Cast<to = 1>(x) }"
    with pytest.raises(BackendError, match="element type BFLOAT16") as caught:
        OrtBackend().compile(parse(text), target, tmp_path)
    assert str(caught.value.at) == "g/x"


def test_the_tables_name_operators_of_the_standard(parse):
    for operator in (*TVM_FAULTS, *ORT_FAULTS):
        assert onnx.defs.has(operator)
    assert has_body("Attention", parse("g (float x) => (float y) { y = Relu(x) }", 23))

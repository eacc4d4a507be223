from dataclasses import replace

import numpy as np
import onnx
import pytest

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.registry import backends
from suture.errors import BackendError


def test_packs_the_model_and_the_c_library(conv_model, random_inputs, target, tmp_path):
    backend = OrtBackend()
    compiled = backend.compile(conv_model, target, tmp_path)
    assert set(compiled.files) == {"model.onnx", "libonnxruntime.so.1"}
    assert b"OrtGetApiBase" in compiled.files["libonnxruntime.so.1"].read_bytes()
    assert compiled.weight_bytes == 4 * 2970
    assert [kernel.op for kernel in compiled.kernels][:2] == ["Conv", "Relu"]
    inputs = random_inputs(conv_model)
    got = backend.load(compiled, conv_model, threads=1)(inputs)
    proto = onnx.load(compiled.files["model.onnx"])
    expected = onnx.reference.ReferenceEvaluator(proto).run(None, inputs)
    np.testing.assert_allclose(got["logits"], expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got["p"], expected[1], rtol=1e-5, atol=1e-6)


def test_same_bytes_in_any_folder(conv_model, target, tmp_path):
    first, second = (
        OrtBackend().compile(conv_model.clone(), target, tmp_path / name) for name in "ab"
    )
    one, two = (c.files["model.onnx"].read_bytes() for c in (first, second))
    assert one == two


def test_unknown_operator_is_named(parse, target, tmp_path):
    model = parse(
        "g (float[2] x) => (float[2] y) { r = Relu(x) [grow] y = NoSuchOperator(r) }", 7
    )
    with pytest.raises(BackendError, match="operator 'NoSuchOperator'") as caught:
        OrtBackend().compile(model, target, tmp_path)
    assert caught.value.at.node == "grow"


def test_missing_kernel_is_named(parse, target, tmp_path):
    """ONNX has Relu on int16, ONNX Runtime has no kernel for it."""
    model = parse("g (int16[2] x) => (int16[2] y) { i = Identity(x) [clip] y = Relu(i) }")
    with pytest.raises(BackendError, match="operator 'Relu'") as caught:
        OrtBackend().compile(model, target, tmp_path)
    assert caught.value.at.node == "clip"


def test_another_processor_is_refused(conv_model, target, tmp_path):
    other = replace(target, name="lambda-s390x", arch="s390x")
    with pytest.raises(BackendError, match="not s390x"):
        OrtBackend().compile(conv_model, other, tmp_path)


def test_every_backend_is_listed_once(tmp_path):
    assert [backend.name for backend in backends(tmp_path)] == ["tvm", "ort"]

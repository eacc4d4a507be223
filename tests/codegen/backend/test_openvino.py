import sys

import pytest

from suture.codegen.backend.openvino import OpenVinoProgram
from suture.codegen.backend.ort import OrtProgram
from suture.compiler.model import save_model
from suture.compiler.verify import assert_equal
from suture.errors import BackendError


@pytest.fixture
def path(conv_model, tmp_path):
    save_model(conv_model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


@pytest.mark.parametrize("threads", [1, 2])
def test_it_computes_what_onnx_runtime_does(path, conv_model, random_inputs, threads):
    inputs = random_inputs(conv_model)
    expected = OrtProgram(path, threads, spin=True)(inputs)
    answers = OpenVinoProgram(path, threads)(inputs)
    assert list(answers) == list(expected)
    assert assert_equal(expected, answers, what="openvino") < 1e-5


def test_answers_are_kept_apart(path, conv_model, random_inputs):
    run = OpenVinoProgram(path, 1)
    first = run(random_inputs(conv_model, seed=1))["logits"]
    kept = first.copy()
    run(random_inputs(conv_model, seed=2))
    assert (first == kept).all()


def test_a_file_that_it_does_not_take(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not onnx")
    with pytest.raises(BackendError, match="OpenVINO 2026") as caught:
        OpenVinoProgram(tmp_path / "bad.onnx", 1)
    assert "bad.onnx" in str(caught.value)


def test_inputs_that_it_refuses(path, conv_model, random_inputs):
    inputs = {name: array[..., :5] for name, array in random_inputs(conv_model).items()}
    with pytest.raises(BackendError, match="refuses the inputs"):
        OpenVinoProgram(path, 1)(inputs)


def test_where_it_is_not_installed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match="not installed") as caught:
        OpenVinoProgram(path, 1)
    assert "bench" in caught.value.hint

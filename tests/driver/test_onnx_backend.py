"""suture behind ONNX's own interface for backends."""

import importlib
import unittest

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.backend.test.runner import Runner

from suture.driver.onnx_backend import SutureBackend
from suture.errors import BackendError, RequestError


def parse(text, opset=17):
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": {opset}]> {text}')


@pytest.fixture
def prepare(cache):
    def prepare(model, **options):
        return SutureBackend.prepare(model, cache=cache, **options)

    return prepare


@pytest.mark.parametrize("backend", ["tvm", "ort", "auto"])
def test_a_model_runs_on_every_size_it_is_given(prepare, backend):
    model = prepare(
        parse("m (float[n, 3] x, float[n, 1] y) => (float[n, 3] z, float[n, 3] d) "
              "{ s = Add(x, y) z = Relu(s) d = Sub(x, y) }"),
        backend=backend,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for size in (1, 4, 1):
        x, y = rng.standard_normal((2, size, 3)).astype(np.float32)
        y = y[:, :1]
        z, d = model.run([x, y])
        np.testing.assert_array_equal(z, np.maximum(x + y, 0))
        np.testing.assert_array_equal(d, x - y)
    assert set(model.shipped.values()) == {"ort" if backend == "ort" else "tvm"}


def test_auto_runs_on_onnx_runtime_what_tvm_does_not_hold(prepare):
    model = prepare(parse("m (float[5] x) => (int64[1, n] y) { y = NonZero(x) }"))
    (places,) = model.run([np.array([0, 1, 0, 2, 0], np.float32)])
    np.testing.assert_array_equal(places, [[1, 3]])
    assert set(model.shipped.values()) == {"ort"}


def test_a_model_that_nothing_holds_is_refused_with_both_reasons(prepare):
    text = "m (float[2] x) => (float[2] y) { y = other.Thing(x) }"
    proto = parse(text)
    proto.opset_import.append(onnx.helper.make_opsetid("other", 1))
    with pytest.raises(BackendError, match="no backend holds the model") as caught:
        prepare(proto).run([np.zeros(2, np.float32)])
    assert "tvm: " in str(caught.value)
    assert "ort: " in str(caught.value)


def test_inputs_that_do_not_fit_are_named(prepare):
    model = prepare(parse("m (float[n, 3] x, float[n] y) => (float[n, 3] z) { z = Relu(x) }"))
    with pytest.raises(RequestError, match="1 inputs for 2"):
        model.run([np.zeros((1, 3), np.float32)])
    with pytest.raises(RequestError, match=r"m/y: \[2\] does not fit \['n'\]"):
        model.run([np.zeros((1, 3), np.float32), np.zeros(2, np.float32)])


def test_there_is_no_other_device_and_no_other_option(prepare):
    model = parse("m (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert not SutureBackend.supports_device("CUDA")
    with pytest.raises(BackendError, match="no device 'CUDA'"):
        prepare(model, device="CUDA")
    with pytest.raises(BackendError, match="no option 'speed'"):
        prepare(model, speed=1)


def test_the_official_runner_runs_cases_through_it(cache, monkeypatch):
    class Here(SutureBackend):
        @classmethod
        def prepare(cls, model, device="CPU", **options):
            return super().prepare(model, device, cache=cache, **options)

    node = importlib.import_module("onnx.backend.test.case.node")
    importlib.import_module("onnx.backend.test.case.node.celu")
    chosen = [case for case in node._NodeTestCases if case.name == "test_celu"]
    monkeypatch.setattr(
        "onnx.backend.test.runner.load_model_tests",
        lambda kind: chosen if kind == "node" else [],
    )
    cases = Runner(Here, __name__).test_cases["OnnxBackendNodeModelTest"]
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(cases).run(result)
    assert result.testsRun == 2  # on the processor, and skipped on CUDA
    assert len(result.skipped) == 1
    assert result.wasSuccessful(), result.failures + result.errors

import numpy as np
import pytest

from suture.codegen.approximated import approximate
from suture.codegen.lower import lower
from suture.compiler.verify import run_reference

OPERATORS = ["Exp", "Erf", "Tanh", "Sigmoid", "Softplus"]
LIMITS = [np.nan, np.inf, -np.inf, 0.0, -0.0, 88.7, 88.8, -87.0, -103.0, -104.0, 1e-30]


@pytest.mark.parametrize("operator", OPERATORS)
def test_answers_are_those_of_onnx_runtime(operator, parse, tvm_backend, target, tmp_path):
    model = parse(f"g (float[2, 211] x) => (float[2, 211] y) {{ y = {operator}(x) }}")
    x = np.concatenate([np.linspace(-12, 12, 422 - len(LIMITS)), LIMITS])
    inputs = {"x": x.astype(np.float32).reshape(2, 211)}
    compiled = tvm_backend.compile(model.clone(), target, tmp_path)
    answers = tvm_backend.load(compiled, model, threads=1)(inputs)
    expected = run_reference(model, inputs)
    np.testing.assert_allclose(answers["y"], expected["y"], rtol=2e-6, atol=4e-7)


def test_no_kernel_calls_the_c_library(parse, target):
    text = "g (float[4, 64] x) => (float[4, 64] y) { a = Exp(x) b = Tanh(a) y = Erf(b) }"
    module = lower(parse(text), target).module
    script = module.script()
    assert not any(call in script for call in ("T.exp(", "T.tanh(", "T.erf("))
    assert approximate(module).script() == script

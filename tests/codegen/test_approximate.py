import math

import numpy as np
import pytest
import tvm
from tvm import te

from suture.codegen import approximate
from suture.codegen.lower import lower
from suture.codegen.pipeline import PIPELINE
from suture.codegen.schedule.activation import ACTIVATIONS, activate
from suture.compiler.verify import run_reference

X = np.concatenate(
    [
        np.linspace(-110, 110, 20001),
        np.linspace(-6, 6, 20001),
        np.logspace(-30, 0, 61),
        [np.nan, np.inf, -np.inf, 0.0, -0.0, 88.72, 88.73],
    ]
).astype(np.float32)


@pytest.fixture(scope="module")
def apply():
    def apply(function):
        x = te.placeholder(X.shape, name="x")
        kernel = te.create_prim_func([x, te.compute(X.shape, lambda i: function(x[i] * 1.0))])
        target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 1})
        named = kernel.with_attr("global_symbol", "main")
        library = tvm.compile(named, target=target, tir_pipeline=PIPELINE)
        out = tvm.runtime.tensor(np.zeros_like(X))
        library["main"](tvm.runtime.tensor(X), out)
        return out.numpy()

    return apply


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def erf(x):
    return np.vectorize(math.erf)(x)


@pytest.mark.parametrize(
    ("name", "exact", "relative", "absolute"),
    [
        ("exp", np.exp, 1.5e-7, 1.7e-38),
        ("sigmoid", sigmoid, 3e-7, 1.7e-38),
        ("erf", erf, 5e-7, 0),
        ("tanh", np.tanh, 4e-7, 0),
    ],
)
def test_errors_are_a_few_units_in_the_last_place(apply, name, exact, relative, absolute):
    found = apply(getattr(approximate, name))
    with np.errstate(over="ignore"):
        wanted = exact(X.astype(np.float64))
        infinite = wanted > np.finfo(np.float32).max
    wanted[infinite] = np.inf
    np.testing.assert_allclose(found, wanted, rtol=relative, atol=absolute)


EXACT = {
    "relu": lambda x, a, b: np.maximum(x, 0),
    "clip": lambda x, a, b: np.clip(x, a, b),
    "leaky-relu": lambda x, a, b: np.where(x < 0, x * a, x),
    "sigmoid": lambda x, a, b: sigmoid(x),
    "hard-sigmoid": lambda x, a, b: np.clip(x * a + b, 0, 1),
    "hard-swish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "swish": lambda x, a, b: x * sigmoid(a * x),
    "tanh": lambda x, a, b: np.tanh(x),
    "erf": lambda x, a, b: erf(x),
    "gelu": lambda x, a, b: x / 2 * (1 + erf(x / 2**0.5)),
    "gelu-tanh": lambda x, a, b: (
        x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3)))
    ),
    "mish": lambda x, a, b: x * np.tanh(np.logaddexp(x, 0)),
}
PARAMETERS = {"clip": (-0.7, 1.3), "leaky-relu": (0.1, 0), "hard-sigmoid": (0.2, 0.4)}


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_activation(apply, kind):
    low, high = PARAMETERS.get(kind, (1.7, 0.0))
    found = apply(lambda x: activate(kind, x, low, high))
    with np.errstate(all="ignore"):
        wanted = EXACT[kind](X.astype(np.float64), low, high)
    finite = np.isfinite(X)
    np.testing.assert_allclose(found[finite], wanted[finite], rtol=1e-6, atol=1e-6)
    assert np.isnan(found[np.isnan(X)]).all()
    assert found[np.inf == X] == pytest.approx(wanted[np.inf == X])


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
    calls = ("T.exp(", "T.tanh(", "T.erf(")
    assert all(call in module.script() for call in calls)
    written = approximate.write_out(module)
    assert not any(call in written.script() for call in calls)

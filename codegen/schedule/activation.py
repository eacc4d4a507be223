"""Activations as arithmetic on one element or one vector: what an epilogue can end with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm import te, tirx

from suture.passes.recognise.activation import Activation

sigmoid, tanh, erf, exp = tirx.sigmoid, tirx.tanh, tirx.erf, tirx.exp
ROOT_HALF = 0.7071067811865476
ROOT_TWO_BY_PI, CUBIC = 0.7978845608028654, 0.044715


def number(value: float, like: Any) -> Any:
    """Return a constant of an expression's type."""
    return tirx.const(value, str(like.ty.dtype))


def at_least(x: Any, low: float) -> Any:
    """Return the larger one; not-a-number, if second, flows, as it does in ONNX Runtime."""
    return tirx.max(number(low, x), x)


def at_most(x: Any, high: float) -> Any:
    """Return the smaller one; not-a-number flows."""
    return tirx.min(number(high, x), x)


def relu(x: Any, _: float, __: float) -> Any:
    """Return what is positive."""
    return at_least(x, 0.0)


def clip(x: Any, low: float, high: float) -> Any:
    """Return what is within bounds."""
    return at_least(at_most(x, high), low)


def leaky_relu(x: Any, alpha: float, _: float) -> Any:
    """Return x, or alpha · x below zero."""
    return tirx.Select(x < 0.0, x * number(alpha, x), x)


def hard_sigmoid(x: Any, alpha: float, beta: float) -> Any:
    """Return alpha · x + beta within 0 and 1."""
    return clip(x * number(alpha, x) + number(beta, x), 0.0, 1.0)


def hard_swish(x: Any, _: float, __: float) -> Any:
    """Return x · hard_sigmoid(x) with a slope of a sixth."""
    return x * hard_sigmoid(x, 1 / 6, 0.5)


def swish(x: Any, alpha: float, _: float) -> Any:
    """Return x · sigmoid(alpha · x): SiLU with an alpha of 1, QuickGELU with 1.702."""
    return x * sigmoid(x if alpha == 1.0 else x * number(alpha, x))


def gelu(x: Any, _: float, __: float) -> Any:
    """Return x · Φ(x) (Hendrycks and Gimpel, 2016)."""
    half = x * number(0.5, x)
    return half + half * erf(x * number(ROOT_HALF, x))


def gelu_tanh(x: Any, _: float, __: float) -> Any:
    """Return their approximation of x · Φ(x) by a hyperbolic tangent."""
    half = x * number(0.5, x)
    cubic = x * number(ROOT_TWO_BY_PI, x) * (number(1.0, x) + x * x * number(CUBIC, x))
    return half + half * tanh(cubic)


def mish(x: Any, _: float, __: float) -> Any:
    """Return x · tanh(log(1 + e^x)) (Misra, 2019), which is x · (u² + 2u) / (u² + 2u + 2)."""
    u = exp(at_most(x, 20.0))
    above = u * (u + number(2.0, x))
    return x * (above / (above + number(2.0, x)))


ACTIVATIONS: Mapping[Activation, Callable[[Any, float, float], Any]] = {
    "relu": relu,
    "clip": clip,
    "leaky-relu": leaky_relu,
    "sigmoid": lambda x, *_: sigmoid(x),
    "hard-sigmoid": hard_sigmoid,
    "hard-swish": hard_swish,
    "swish": swish,
    "tanh": lambda x, *_: tanh(x),
    "erf": lambda x, *_: erf(x),
    "gelu": gelu,
    "gelu-tanh": gelu_tanh,
    "mish": mish,
}
"""Each takes the element and the activation's two parameters, unused ones too."""


def activate(kind: Activation, value: Any, low: float, high: float) -> Any:
    """Return an activation of a value; whatever is not a number stays so."""
    if kind == "none":
        return value
    if isinstance(value, te.tensor.TensorSlice):
        value = value.asobject()
    return ACTIVATIONS[kind](value, low, high)

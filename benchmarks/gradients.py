"""Gradients of a few operations on NumPy's arrays, enough to train a small transformer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf

Array = npt.NDArray[Any]
Source = tuple["Value", Callable[[Array], Array]]


@dataclass(eq=False)
class Value:
    """An array, what it was made from, and the loss's gradient by it.

    Attributes:
        data: The numbers.
        sources: What it was made from, each with what makes its gradient of this one's.
        grad: The gradient, after ``backward``.
    """

    data: Array
    sources: Sequence[Source] = ()
    grad: Array | float = 0.0


def backward(loss: Value) -> None:
    """Give everything that a loss was made from its gradient."""
    order: list[Value] = []
    seen: set[Value] = set()

    def visit(value: Value) -> None:
        if value not in seen:
            seen.add(value)
            for source, _ in value.sources:
                visit(source)
            order.append(value)

    visit(loss)
    for value in order:
        value.grad = 0.0
    loss.grad = np.ones_like(loss.data)
    for value in reversed(order):
        for source, gradient in value.sources:
            source.grad = source.grad + gradient(np.asarray(value.grad))


def _fitted(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Return a gradient summed over what was repeated."""
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    axes = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return gradient.sum(axes, keepdims=True) if axes else gradient


def add(a: Value, b: Value) -> Value:
    """Return the sum, the smaller repeated."""
    pair = [(each, lambda g, s=each.data.shape: _fitted(g, s)) for each in (a, b)]
    return Value(a.data + b.data, pair)


def multiply(a: Value, b: Value) -> Value:
    """Return the product of each entry, the smaller repeated."""
    return Value(
        a.data * b.data,
        [
            (a, lambda g: _fitted(g * b.data, a.data.shape)),
            (b, lambda g: _fitted(g * a.data, b.data.shape)),
        ],
    )


def matmul(a: Value, b: Value) -> Value:
    """Return the product of matrices."""
    return Value(
        a.data @ b.data,
        [
            (a, lambda g: _fitted(g @ b.data.swapaxes(-1, -2), a.data.shape)),
            (b, lambda g: _fitted(a.data.swapaxes(-1, -2) @ g, b.data.shape)),
        ],
    )


def gelu(a: Value) -> Value:
    """Return x · Φ(x)."""
    below = 0.5 * (1 + erf(a.data / 2**0.5))
    density = np.exp(-0.5 * a.data**2) / (2 * np.pi) ** 0.5
    return Value(a.data * below, [(a, lambda g: g * (below + a.data * density))])


def softmax(a: Value) -> Value:
    """Return the softmax along the last axis."""
    powers = np.exp(a.data - a.data.max(-1, keepdims=True))
    parts = powers / powers.sum(-1, keepdims=True)
    return Value(parts, [(a, lambda g: parts * (g - (g * parts).sum(-1, keepdims=True)))])


def normalize(a: Value, epsilon: float) -> Value:
    """Return rows of mean zero and variance one."""
    centred = a.data - a.data.mean(-1, keepdims=True)
    root = np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    rows = centred / root

    def gradient(g: Array) -> Array:
        along = (g * rows).mean(-1, keepdims=True)
        return np.asarray((g - g.mean(-1, keepdims=True) - rows * along) / root)

    return Value(rows, [(a, gradient)])


def arrange(a: Value, shape: Sequence[int], perm: Sequence[int]) -> Value:
    """Return a value reshaped, then transposed."""
    back = np.argsort(perm)
    return Value(
        a.data.reshape(shape).transpose(perm),
        [(a, lambda g: g.transpose(back).reshape(a.data.shape))],
    )


def mean(a: Value, axis: int) -> Value:
    """Return the mean along an axis."""
    size = a.data.shape[axis]
    return Value(
        a.data.mean(axis),
        [(a, lambda g: np.repeat(np.expand_dims(g, axis), size, axis) / size)],
    )


def cross_entropy(logits: Value, labels: Array) -> Value:
    """Return the mean loss of ``(samples, classes)`` against class numbers."""
    rows = np.arange(len(labels))
    shifted = logits.data - logits.data.max(-1, keepdims=True)
    parts = np.exp(shifted) / np.exp(shifted).sum(-1, keepdims=True)
    right = np.zeros_like(parts)
    right[rows, labels] = 1
    loss = -np.log(parts[rows, labels] + 1e-12).mean()
    return Value(np.asarray(loss), [(logits, lambda g: g * (parts - right) / len(labels))])


def adam(
    weights: Sequence[Value], moments: list[tuple[Array, Array]], step: int, rate: float
) -> None:
    """Move weights by one step (Kingma and Ba 2015), in place, and their moments with them."""
    for at, value in enumerate(weights):
        grad = np.asarray(value.grad)
        first = 0.9 * moments[at][0] + 0.1 * grad
        second = 0.99 * moments[at][1] + 0.01 * grad**2
        moments[at] = (first, second)
        estimate = second / (1 - 0.99**step)
        value.data -= rate * first / (1 - 0.9**step) / (np.sqrt(estimate) + 1e-8)

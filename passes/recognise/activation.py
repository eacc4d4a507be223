"""Activations that follow a value, whatever operators they are written with.

One operator is known by its name. Of several (``x · Φ(x)`` alone is exported in half a dozen
ways) the nodes between the value and the first one that everything joins in are evaluated at
some numbers; they are the activation whose answers they give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.recognise.evaluate import evaluate
from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of

Activation = Literal[
    "none",
    "relu",
    "clip",
    "leaky-relu",
    "sigmoid",
    "hard-sigmoid",
    "hard-swish",
    "swish",
    "tanh",
    "erf",
    "gelu",
    "gelu-tanh",
    "mish",
]
Array = npt.NDArray[np.float64]

LOWEST, HIGHEST = -3.4028234663852886e38, 3.4028234663852886e38
MOST_NODES = 12
OPERATORS = frozenset(
    {
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Neg",
        "Pow",
        "Sqrt",
        "Exp",
        "Erf",
        "Tanh",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Relu",
        "Clip",
        "Min",
        "Max",
        "Reciprocal",
    }
)
"""Operators that work element by element, of which activations are composed."""
PROBES = np.concatenate([np.linspace(-12, 12, 97), [-0.01, 1e-3, 0.3, 40.0, -40.0]])
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Following:
    """An activation found behind a value.

    Attributes:
        nodes: In an order in which they can run; the last one's output is the activation's.
        activation: Which one.
        low: Its first parameter.
        high: Its second parameter.
    """

    nodes: tuple[ir.Node, ...]
    activation: Activation
    low: float = 0.0
    high: float = 0.0


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


COMPOSED: Mapping[Activation, tuple[float, Callable[[Array], Array]]] = {
    "gelu": (0.0, lambda x: x * np.vectorize(math.erf)(x / 2**0.5) / 2 + x / 2),
    "gelu-tanh": (
        0.0,
        lambda x: x / 2 * (1 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
    ),
    "swish": (1.0, lambda x: x * _sigmoid(x)),
    "hard-swish": (0.0, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "mish": (0.0, lambda x: x * np.tanh(np.logaddexp(x, 0))),
}
"""Activations without parameters of their own, by what they compute."""
QUICK_GELU = 1.702


def find_activation(value: ir.Value, graph: ir.Graph | None = None) -> Following | None:
    """Return the activation that alone reads a value, the longest one, or None.

    Args:
        value: The value.
        graph: Whose nodes to look at, where that is not the value's own but a branch that
            reads it; what others read of it does not matter then.
    """
    graph = value.graph if graph is None else graph
    nodes: list[ir.Node] = []
    found = None
    while len(nodes) < MOST_NODES and (following := _next(value, nodes, graph)) is not None:
        nodes.append(following)
        if _closed(value, nodes, graph):
            found = recognise(value, nodes) or found
    return found or (_single(value) if graph is value.graph else None)


def recognise(value: ir.Value, nodes: list[ir.Node]) -> Following | None:
    """Return which activation some nodes compute of a value, or None."""
    if len(nodes) < 2:
        return None
    answers = evaluate(nodes, {value: PROBES.astype(np.float32)}, nodes[-1].outputs[0])
    if answers is None:
        return None
    for activation, (parameter, function) in COMPOSED.items():
        if np.allclose(answers, function(PROBES), rtol=TOLERANCE, atol=TOLERANCE):
            return Following(tuple(nodes), activation, parameter)
    quick = PROBES * _sigmoid(QUICK_GELU * PROBES)
    if np.allclose(answers, quick, rtol=TOLERANCE, atol=TOLERANCE):
        return Following(tuple(nodes), "swish", QUICK_GELU)
    sixth = np.clip(PROBES / 6 + 0.5, 0, 1)
    if np.allclose(answers, sixth, rtol=TOLERANCE, atol=TOLERANCE):
        return Following(tuple(nodes), "hard-sigmoid", 1 / 6, 0.5)
    return None


def _next(value: ir.Value, nodes: list[ir.Node], graph: ir.Graph | None) -> ir.Node | None:
    """Return a node that reads nothing but a value, what is made of it, and scalars."""
    known = [value, *(node.outputs[0] for node in nodes)]
    for each in known:
        for use in each.uses():
            node = use.node
            fits = (
                node.op_type in OPERATORS
                and node.domain in DEFAULT_DOMAINS
                and node.graph is graph
                and node not in nodes
                and all(v is None or v in known or _is_scalar(v) for v in node.inputs)
                and node.outputs[0].shape == value.shape
            )
            if fits:
                return node
    return None


def _closed(value: ir.Value, nodes: list[ir.Node], graph: ir.Graph | None) -> bool:
    """Whether nothing but the last node's output is read elsewhere."""
    inner = [value, *(node.outputs[0] for node in nodes[:-1])]
    return all(
        each.graph is not graph
        or (not each.is_graph_output() and all(use.node in nodes for use in each.uses()))
        for each in inner
    )


def _is_scalar(value: ir.Value) -> bool:
    numbers = numbers_of(value)
    return numbers is not None and numbers.size == 1


def _single(value: ir.Value) -> Following | None:
    """Return an activation that is one node."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    if node.domain == "com.microsoft":
        return _single_of_microsoft(node)
    if node.domain not in DEFAULT_DOMAINS:
        return None
    alpha, beta = node.attributes.get_float("alpha", None), node.attributes.get_float("beta")
    match node.op_type:
        case "Relu":
            return Following((node,), "relu")
        case "Clip":
            bounds = clip_bounds(node)
            return None if bounds is None else Following((node,), "clip", *bounds)
        case "LeakyRelu":
            return Following((node,), "leaky-relu", 0.01 if alpha is None else alpha)
        case "Sigmoid" | "Tanh" | "Erf" | "Mish":
            kinds: Mapping[str, Activation]
            kinds = {"Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf", "Mish": "mish"}
            return Following((node,), kinds[node.op_type])
        case "HardSigmoid":
            slope = 0.2 if alpha is None else alpha
            return Following((node,), "hard-sigmoid", slope, 0.5 if beta is None else beta)
        case "HardSwish":
            return Following((node,), "hard-swish")
        case "Gelu":
            curve = node.attributes.get_string("approximate", "none")
            return Following((node,), "gelu-tanh" if curve == "tanh" else "gelu")
    return None


def _single_of_microsoft(node: ir.Node) -> Following | None:
    """Return an activation that is one of ONNX Runtime's own operators."""
    match node.op_type:
        case "Gelu":
            return Following((node,), "gelu")
        case "QuickGelu":
            alpha = node.attributes.get_float("alpha", QUICK_GELU)
            return Following((node,), "swish", float(alpha or QUICK_GELU))
    return None


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return a Clip's bounds, or None where they are not constant."""
    bounds = [LOWEST, HIGHEST]
    for position in (0, 1):
        if len(node.inputs) > position + 1 and node.inputs[position + 1] is not None:
            numbers = numbers_of(node.inputs[position + 1])
            if numbers is None or numbers.size != 1:
                return None
            bounds[position] = float(numbers.reshape(-1)[0])
    low = node.attributes.get_float("min", bounds[0])
    high = node.attributes.get_float("max", bounds[1])
    return float(low), float(high)

"""Write an activation that a model spells out as one operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import onnx_ir as ir

from suture.compiler.model import opset_of
from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, put
from suture.passes.recognise.activation import Following, find_activation
from suture.passes.recognise.values import FLOAT, is_constant, shape_of

OPERATORS: Mapping[str, tuple[str, int, Mapping[str, Any]]] = {
    "gelu": ("Gelu", 20, {}),
    "gelu-tanh": ("Gelu", 20, {"approximate": "tanh"}),
    "hard-swish": ("HardSwish", 14, {}),
    "mish": ("Mish", 18, {}),
    "hard-sigmoid": ("HardSigmoid", 6, {}),
}
"""Activation → operator, the first operator set that has it, attributes."""


@dataclass(frozen=True)
class FuseActivation(EachGraphPass):
    """Make GELU, HardSwish, HardSigmoid and Mish one operator, however they are spelled out.

    Before: ``e = Erf(x / 1.41421); a = e + 1; m = x * a; y = m * 0.5``.
    After: ``y = Gelu(x)``.
    Which activation some nodes are is found out by evaluating them at some numbers. SiLU has
    no operator before set 24, which neither backend runs faster than ``x * Sigmoid(x)``.
    """

    name: ClassVar[str] = "fuse-activation"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "raise-opset")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite behind each value that alone feeds several nodes of arithmetic."""
        made, declined = [], []
        read = dict.fromkeys(value for node in graph for value in node.inputs)
        for value in read:
            if value is None or value.dtype != FLOAT or is_constant(value):
                continue
            found = find_activation(value, graph)
            if found is None or len(found.nodes) < 2:
                continue
            told = note(found.nodes[-1], f"is {found.activation}")
            reason = _obstacle(found, opset_of(graph))
            if reason is None:
                _write(names, value, found)
                made.append(told)
            else:
                declined.append(note(found.nodes[-1], reason))
        return made, declined


def _obstacle(found: Following, opset: int) -> str | None:
    """Return what keeps an activation from being one operator, or None."""
    known = OPERATORS.get(found.activation)
    if known is None:
        return f"{found.activation} has no operator of its own"
    operator, since, _ = known
    if opset < since:
        return f"{operator} is in operator sets from {since} on, the model has {opset}"
    return None


def _write(names: Names, value: ir.Value, found: Following) -> None:
    """Put the operator in place of what spells it out."""
    operator, _, attributes = OPERATORS[found.activation]
    if operator == "HardSigmoid":
        attributes = {"alpha": found.low, "beta": found.high}
    last = found.nodes[-1]
    shapes = [shape_of(value)] if value.shape is not None and value.shape.is_static() else []
    node = new_node(
        names,
        operator,
        [value],
        name=f"{last.name or operator}.{found.activation}",
        attributes=attributes,
        shapes=shapes,
        dtype=value.dtype,
    )
    graph = last.graph
    assert isinstance(graph, ir.Graph)
    put(graph, [node], in_order(graph, found.nodes))


def in_order(graph: ir.Graph, nodes: tuple[ir.Node, ...]) -> list[ir.Node]:
    """Return nodes in the order in which they stand in a graph."""
    wanted = set(nodes)
    return [node for node in graph if node in wanted]

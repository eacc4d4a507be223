"""What a group is: some nodes of a model, and the one node that stands for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

DOMAIN = "suture"


@dataclass
class Group:
    """Nodes that one kernel computes, while they are being gathered.

    Attributes:
        kind: The operator of the domain ``suture`` that stands for them.
        nodes: In an order in which they can run; only the last one's output leaves.
        inputs: What the kernel reads, in the order its emitter expects.
        attributes: What else the emitter is told.
        made: New nodes that compute what the kernel reads, to stand in front of it.
    """

    kind: str
    nodes: list[ir.Node]
    inputs: list[ir.Value | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    made: list[ir.Node] = field(default_factory=list)

    @property
    def value(self) -> ir.Value:
        """What leaves the group."""
        return self.nodes[-1].outputs[0]


Match = Callable[[ir.Node], Group | None]
"""Returns the group that begins at a node, or None where the matcher has none."""


def constant(node: ir.Node, name: str, array: npt.NDArray[Any]) -> ir.Value:
    """Return a new initializer of a node's graph; its name is numbered if one has it."""
    assert node.graph is not None
    known, stem, numbers = node.graph.initializers, name, count(1)
    while name in known:
        name = f"{stem}.{next(numbers)}"
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(
        name=name,
        shape=tensor.shape,
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    node.graph.register_initializer(value)
    return value


def replace(graph: ir.Graph, group: Group) -> None:
    """Put one node where the last of a group stands."""
    first, last = group.nodes[0], group.nodes[-1]
    old = group.value
    new = ir.node(
        group.kind,
        group.inputs,
        attributes=group.attributes,
        domain=DOMAIN,
        name=first.name,
    )
    new.outputs[0].shape, new.outputs[0].type = old.shape, old.type
    new.outputs[0].name = old.name
    for value in (value for node in group.made for value in node.inputs):
        if value is not None and value.const_value is not None:
            graph.register_initializer(value)
    ir.convenience.replace_nodes_and_values(
        graph,
        last,
        list(reversed(group.nodes)),
        [*group.made, new],
        [old],
        [new.outputs[0]],
    )

"""What a node takes, as it stands or on tensors of other sizes: what passes decide by."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import onnx_ir as ir

from suture.compiler.cost.base import Vector, Work
from suture.compiler.cost.roofline import Roofline
from suture.compiler.inspect import FREE, elements, node_flops

Sizes = tuple[int, ...]

CALL_MS = 5e-4
"""To call a kernel, where nothing stands between kernels."""
FLOAT = 4
PICKS = ("Gather", "Slice")
"""Operators that read as much as they write."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A node on tensors whose sizes need not be those that it has in its graph.

    Attributes:
        reads: Sizes of its inputs, constants among them; none of one that is left out.
        writes: Sizes of its outputs.
        node: Says what is done; None where tensors are copied.
        pads: Those of its windows, where they are not the node's.
    """

    reads: tuple[Sizes, ...]
    writes: tuple[Sizes, ...]
    node: ir.Node | None = None
    pads: Sizes | None = None


class NodeCost(Protocol):
    """Predicts what operations of one model take."""

    def microseconds(self, operations: Sequence[Operation]) -> Vector:
        """Return the microseconds that each is expected to take."""


CostOf = Callable[[ir.Model], NodeCost]
"""Returns what predicts for a model; its nodes must stay as they are while that is asked."""


@dataclass(frozen=True)
class NodeRoofline:
    """The roofline of each operation by itself, where nothing better is known.

    Attributes:
        roofline: What operations, bytes and calls cost.
    """

    roofline: Roofline = field(default_factory=lambda: Roofline(ms_per_node=CALL_MS))

    def microseconds(self, operations: Sequence[Operation]) -> Vector:
        """Return the microseconds that each is expected to take."""
        if not operations:
            return np.zeros(0)
        rows = np.stack([work_of(operation).row for operation in operations])
        return 1e3 * self.roofline.predict(rows)


def by_roofline(model: ir.Model) -> NodeCost:
    """Return what predicts for any model."""
    return NodeRoofline()


def predicted(cost: NodeCost, nodes: Iterable[ir.Node]) -> float:
    """Return the microseconds that some nodes are expected to take as they are."""
    return float(cost.microseconds([as_it_is(node) for node in nodes]).sum())


def as_it_is(node: ir.Node) -> Operation:
    """Return a node on the tensors that it has."""
    return Operation(
        node=node,
        reads=tuple(sizes_of(value) for value in node.inputs),
        writes=tuple(sizes_of(value) for value in node.outputs),
    )


def sizes_of(value: ir.Value | None) -> Sizes:
    """Return a value's sizes; free dimensions count as 1, and of no shape there are none."""
    if value is None or value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else 1 for size in value.shape)


def work_of(operation: Operation) -> Work:
    """Return what an operation does, its floating-point operations as many as it writes."""
    written, node = count(operation.writes), operation.node
    moved = float(FLOAT * (count(operation.reads) + written))
    if node is None:
        return Work(0.0, moved, 1.0)
    if node.op_type in FREE:
        return Work(0.0, 0.0, 0.0)
    if node.op_type in PICKS:
        return Work(0.0, float(2 * FLOAT * written), 1.0)
    whole = sum(elements(value) for value in node.outputs)
    return Work(node_flops(node) * written / max(whole, 1), moved, 1.0)


def count(sizes: Iterable[Sizes]) -> int:
    """Return how many elements tensors have together; one of no sizes has none."""
    return sum(math.prod(each) for each in sizes if each)

"""Write layer and RMS normalisations as one operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.compiler.model import opset_of
from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, put
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_static,
    is_vector,
    numbers_of,
    shape_of,
)

LAYER, RMS = "LayerNormalization", "RMSNormalization"
SINCE = {LAYER: 17, RMS: 23}


@dataclass(frozen=True)
class FuseLayerNorm(EachGraphPass):
    """Make ``(x - mean(x)) / sqrt(var(x) + eps) * scale + bias`` one operator.

    Before: ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
    After: ``y = LayerNormalization(x, scale, bias)``; without the mean, RMSNormalization.
    onnxscript has rules for some of these forms; they want axes as an input, and every factor
    on one side.
    """

    name: ClassVar[str] = "fuse-layer-norm"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "raise-opset")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite around each root of a mean of squares."""
        made, declined = [], []
        for node in list(graph):
            if node.op_type != "Sqrt" or node.domain not in DEFAULT_DOMAINS:
                continue
            found = find(node)
            if found is None:
                continue
            told = note(node, f"{found.operator} over {shape_of(found.x)[-1]}")
            reason = _obstacle(found, opset_of(graph))
            if reason is None:
                _write(graph, names, found)
                made.append(told)
            else:
                declined.append(note(node, reason))
        return made, declined


@dataclass(frozen=True)
class Found:
    """A normalisation of the last axis.

    Attributes:
        operator: What it is called.
        x: What is normalised.
        nodes: What spells it out; the last one's output is the result.
        epsilon: What is added to the variance.
        scale: A row of factors, or None.
        bias: A row of terms, or None.
    """

    operator: str
    x: ir.Value
    nodes: tuple[ir.Node, ...]
    epsilon: float
    scale: ir.Value | None
    bias: ir.Value | None


def find(root: ir.Node) -> Found | None:
    """Return the normalisation that a root is part of, all in one graph, or None."""
    add = _maker(root.inputs[0], "Add")
    constant = None if add is None else _with_constant(add)
    if add is None or constant is None:
        return None
    mean_square, epsilon = constant
    mean = _mean(mean_square)
    square = _maker(mean.inputs[0], "Pow", "Mul") if mean is not None else None
    centred = _squared(square) if square is not None else None
    if mean is None or square is None or centred is None or not is_static(centred):
        return None
    nodes, x, operator = [square, mean, add, root], centred, RMS
    less = _maker(centred, "Sub")
    if less is not None:
        taken = _mean(less.inputs[1])
        if taken is not None and taken.inputs[0] is less.inputs[0] and less.inputs[0]:
            x, operator, nodes = less.inputs[0], LAYER, [taken, less, *nodes]
    divided = _divided(centred, root)
    if divided is None:
        return None
    nodes += divided
    if any(node.graph is not root.graph for node in nodes):
        return None
    scale = _row_behind(nodes, "Mul", shape_of(x)[-1])
    bias = _row_behind(nodes, "Add", shape_of(x)[-1]) if operator == LAYER else None
    return Found(operator, x, tuple(nodes), epsilon, scale, bias)


def _obstacle(found: Found, opset: int) -> str | None:
    """Return what keeps a normalisation from being one operator, or None."""
    since = SINCE[found.operator]
    if opset < since:
        return f"{found.operator} is in operator sets from {since} on, the model has {opset}"
    inner = [value for node in found.nodes[:-1] for value in node.outputs]
    for value in inner:
        outside = any(use.node not in found.nodes for use in value.uses())
        if outside or value.is_graph_output():
            return "something else reads what is inside"
    return None


def _write(graph: ir.Graph, names: Names, found: Found) -> None:
    """Put the operator in place of what spells it out."""
    stem = found.nodes[-1].name or found.operator
    scale, width = found.scale, shape_of(found.x)[-1]
    if scale is None:
        dtype = found.x.dtype
        assert dtype is not None
        scale = add_constant(graph, names.free(f"{stem}.scale"), np.ones(width, dtype.numpy()))
    bias = [found.bias] if found.bias is not None else []
    node = new_node(
        names,
        found.operator,
        [found.x, scale, *bias],
        name=f"{stem}.norm",
        attributes={"axis": -1, "epsilon": found.epsilon},
        shapes=[shape_of(found.x)],
        dtype=found.x.dtype,
    )
    order = {each: place for place, each in enumerate(graph)}
    put(graph, [node], sorted(found.nodes, key=lambda each: order[each]))


def _maker(value: ir.Value | None, *operators: str) -> ir.Node | None:
    """Return the node that makes a value, if it is of one of some operators."""
    node = value.producer() if value is not None else None
    if node is None or node.domain not in DEFAULT_DOMAINS or node.op_type not in operators:
        return None
    return node


def _with_constant(node: ir.Node) -> tuple[ir.Value, float] | None:
    """Return the operand of a node that varies, and the number that is the other one."""
    for value, other in (node.inputs, node.inputs[::-1]):
        numbers = numbers_of(other)
        if numbers is not None and numbers.size == 1 and value is not None:
            return value, float(numbers.reshape(()))
    return None


def _mean(value: ir.Value | None) -> ir.Node | None:
    """Return what makes a value, if that takes the mean of the last axis and keeps it."""
    node = _maker(value, "ReduceMean")
    if node is None or not is_static(node.inputs[0]) or not is_static(value):
        return None
    shape = shape_of(node.inputs[0])
    axes = list(node.attributes.get_ints("axes", ()) or ())
    if len(node.inputs) > 1:
        numbers = numbers_of(node.inputs[1])
        axes = [] if numbers is None else [int(axis) for axis in numbers]
    last = len(axes) == 1 and axes[0] % len(shape) == len(shape) - 1
    return node if last and shape_of(value) == (*shape[:-1], 1) else None


def _squared(node: ir.Node) -> ir.Value | None:
    """Return what a node squares, or None."""
    if node.op_type == "Mul":
        return node.inputs[0] if node.inputs[0] is node.inputs[1] else None
    power = numbers_of(node.inputs[1])
    return node.inputs[0] if power is not None and (power == 2).all() else None


def _divided(value: ir.Value, root: ir.Node) -> list[ir.Node] | None:
    """Return the nodes that divide a value by a root, or None."""
    uses = list(root.outputs[0].uses())
    if len(uses) != 1:
        return None
    node = uses[0].node
    if node.op_type == "Div" and node.inputs[0] is value and uses[0].idx == 1:
        return [node]
    one = numbers_of(node.inputs[0]) if node.op_type == "Div" and uses[0].idx == 1 else None
    inverse = node.op_type == "Reciprocal" or (one is not None and (one == 1).all())
    behind = list(node.outputs[0].uses())
    if not inverse or len(behind) != 1 or behind[0].node.op_type != "Mul":
        return None
    product = behind[0].node
    return [node, product] if product.inputs[1 - behind[0].idx] is value else None


def _row_behind(nodes: list[ir.Node], operator: str, width: int) -> ir.Value | None:
    """Return the row of constants that the next node takes, and take that node along."""
    value = nodes[-1].outputs[0]
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output() or uses[0].node.op_type != operator:
        return None
    node = uses[0].node
    row = node.inputs[1 - uses[0].idx]
    if node.graph is not nodes[-1].graph or row is None:
        return None
    if not is_vector(row, width) or len(shape_of(row)) != 1:
        return None
    nodes.append(node)
    return row

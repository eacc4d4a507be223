"""Nodes for rewrites, with names of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from suture.compiler.model import opset_of
from suture.passes.base import Names, add_constant

SIZES_AS_INPUT = 13
"""The operator set since which a Split reads the sizes of its parts."""


def new_node(
    names: Names,
    op: str,
    inputs: Sequence[ir.Value | None],
    *,
    name: str,
    attributes: Mapping[str, Any] | None = None,
    shapes: Sequence[Sequence[int]] = (),
    outputs: int = 1,
    dtype: ir.DataType | None = None,
) -> ir.Node:
    """Return a node of ONNX's own domain with names of its own; it is in no graph yet.

    Args:
        names: The graph's names.
        op: The operator.
        inputs: What it reads.
        name: Its name, and its outputs', where that is free.
        attributes: Its attributes.
        shapes: Of each output; where there are none, they are not known.
        outputs: How many outputs it has, if that is not told by shapes.
        dtype: Of its outputs, where it is known.
    """
    node = ir.node(op, inputs, attributes=attributes, num_outputs=len(shapes) or outputs)
    node.name = names.free(name)
    for value in node.outputs:
        value.name = names.free(f"{name}.out")
        value.type = ir.TensorType(dtype) if dtype is not None else None
    for value, shape in zip(node.outputs, shapes, strict=False):
        value.shape = ir.Shape(shape)
    return node


def put(graph: ir.Graph, nodes: Sequence[ir.Node], old: Sequence[ir.Node]) -> None:
    """Put nodes in place of others: the last one's output takes the place of theirs."""
    before, after = old[-1].outputs[0], nodes[-1].outputs[0]
    after.name, after.shape, after.type = before.name, before.shape, before.type
    ir.convenience.replace_nodes_and_values(
        graph, old[-1], list(reversed(old)), nodes, [before], [after]
    )


def new_reshape(
    graph: ir.Graph, names: Names, value: ir.Value, shape: Sequence[int], *, name: str
) -> ir.Node:
    """Return a node that gives a value a fixed shape; the shape is a constant of the graph."""
    wanted = add_constant(graph, names.free(f"{name}.shape"), np.array(shape, np.int64))
    return new_node(
        names, "Reshape", [value, wanted], name=name, shapes=[shape], dtype=value.dtype
    )


def new_split(
    graph: ir.Graph,
    names: Names,
    value: ir.Value,
    sizes: Sequence[int],
    axis: int,
    *,
    name: str,
) -> ir.Node:
    """Return a node that takes a value apart along an axis; the sizes are its parts'."""
    shapes: list[list[int]] = []
    if value.shape is not None and value.shape.is_static():
        whole = list(value.shape.numpy())
        shapes = [[*whole[:axis], size, *whole[axis + 1 :]] for size in sizes]
    attributes: dict[str, Any] = {"axis": axis}
    inputs = [value]
    if opset_of(graph) < SIZES_AS_INPUT:
        attributes["split"] = list(sizes)
    else:
        wanted = np.array(sizes, np.int64)
        inputs.append(add_constant(graph, names.free(f"{name}.sizes"), wanted))
    return new_node(
        names,
        "Split",
        inputs,
        name=name,
        attributes=attributes,
        shapes=shapes,
        outputs=len(sizes),
        dtype=value.dtype,
    )


def remove_unread(graph: ir.Graph, nodes: Iterable[ir.Node]) -> None:
    """Remove those of some nodes that nobody reads, the last first.

    Args:
        graph: Theirs.
        nodes: In an order in which they can run.
    """
    for node in reversed(list(nodes)):
        if node.graph is graph and not any(
            v.uses() or v.is_graph_output() for v in node.outputs
        ):
            graph.remove(node, safe=True)

"""Write a product and its bias as one operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, put
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_matrix,
    is_static,
    is_vector,
    shape_of,
)


@dataclass(frozen=True)
class FuseGemm(EachGraphPass):
    """Make ``MatMul(x, w) + b`` of a matrix with constants one Gemm.

    Before: ``t = MatMul(x, w); y = Add(t, b)``, x of two axes.
    After: ``y = Gemm(x, w, b)``.
    Of more axes ``flatten-rows`` makes two where that pays.
    """

    name: ClassVar[str] = "fuse-gemm"
    after: ClassVar[tuple[str, ...]] = ("flatten-rows",)

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite each product whose only reader adds a constant row."""
        made, declined = [], []
        for node in list(graph):
            bias = biased(node)
            if bias is None:
                continue
            add, row = bias
            rank = len(shape_of(node.inputs[0]))
            if rank != 2:
                declined.append(note(node, f"it has {rank} axes, and Gemm has two"))
                continue
            told = note(node, f"{add.name or 'the addition'} is its bias")
            product = new_node(
                names,
                "Gemm",
                [node.inputs[0], node.inputs[1], row],
                name=f"{node.name or 'MatMul'}.gemm",
                shapes=[shape_of(add.outputs[0])],
                dtype=add.outputs[0].dtype,
            )
            put(graph, [product], [node, add])
            made.append(told)
        return made, declined


def biased(node: ir.Node) -> tuple[ir.Node, ir.Value] | None:
    """Return the addition of a constant row behind a product with a matrix, and the row."""
    if node.op_type != "MatMul" or node.domain not in DEFAULT_DOMAINS:
        return None
    value, uses = node.outputs[0], list(node.outputs[0].uses())
    if not (is_static(node.inputs[0]) and is_matrix(node.inputs[1])) or len(uses) != 1:
        return None
    add = uses[0].node
    if add.op_type != "Add" or add.graph is not node.graph or value.is_graph_output():
        return None
    row = add.inputs[1 - uses[0].idx]
    columns = shape_of(node.inputs[1])[1]
    rank = len(shape_of(node.inputs[0]))
    if row is None or not is_vector(row, columns) or len(shape_of(row)) > rank:
        return None
    return (add, row) if is_static(add.outputs[0]) else None

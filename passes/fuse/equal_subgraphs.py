"""Run once what two components both compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.errors import Location
from suture.passes.base import GraphPass, Note, PassContext, PassResult, note


@dataclass(frozen=True)
class MergeEqualSubgraphs(GraphPass):
    """Share equal weights, then equal nodes over equal inputs, also across components.

    Before: ``a = Conv(x, w1); b = Conv(x, w2)`` where ``w1`` and ``w2`` hold the same numbers.
    After: ``a = Conv(x, w1)``, read in place of both.
    Both halves are onnx_ir's.
    """

    name: ClassVar[str] = "merge-equal-subgraphs"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Deduplicate initializers first, so that nodes over them become equal."""
        weights = dict(model.graph.initializers)
        ir_passes.DeduplicateInitializersPass(size_limit=1 << 40)(model)
        at = model.graph.name or "model"
        made = [
            Note(Location(at, None, name), "equal weights are stored once")
            for name in weights
            if name not in model.graph.initializers
        ]
        nodes = {node: note(node, "an equal node runs already") for node in model.graph}
        names = [node for node in model.graph if _names_output(node)]
        for number, node in enumerate(names):
            node.overload = str(number)  # else each would be merged and made again
        ir_passes.CommonSubexpressionEliminationPass()(model)
        for node in names:
            node.overload = ""
        left = set(model.graph)
        made += [made for node, made in nodes.items() if node not in left]
        return PassResult(model, made=tuple(made))


def _names_output(node: ir.Node) -> bool:
    return node.op_type == "Identity" and node.outputs[0].is_graph_output()

"""Take arithmetic into the weights beside it, node after node."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import Rewritten


def absorb(
    graph: ir.Graph,
    names: Names,
    beside: Callable[[ir.Node], ir.Node | None],
    fold: Callable[[ir.Node, ir.Node, Names], str | None],
) -> Rewritten:
    """Fold neighbours into nodes, the nearest first, as far as it goes.

    Args:
        graph: Rewritten in place.
        names: Those of all graphs of its model.
        beside: Returns the arithmetic beside a node that could take it in, or None.
        fold: Takes a node, the arithmetic and names; folds, or returns why not.
    """
    made, declined = [], []
    for node in list(graph):
        while (arithmetic := beside(node)) is not None:
            into = node.name or node.outputs[0].name or node.op_type
            folded = note(arithmetic, f"folded into {into}")
            reason = fold(node, arithmetic, names)
            if reason is not None:
                declined.append(note(arithmetic, reason))
                break
            made.append(folded)
    return made, declined

"""Fusion groups: which nodes of a prepared model become one scheduled kernel.

Decided here and nowhere else, by the matchers of schedule rules. A group is one node of the
domain ``suture`` in place of its nodes; the rule has an emitter for its kind.
"""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from suture.codegen.groups.base import Match, replace
from suture.codegen.groups.integers import move_integers
from suture.codegen.groups.shuffle import absorb_shuffles
from suture.passes.recognise.values import DEFAULT_DOMAINS


def group(model: ir.Model, matchers: Sequence[Match]) -> tuple[str, ...]:
    """Replace every group of a prepared model, in place; return what they hold, for people.

    Args:
        model: The model.
        matchers: In the order in which they are asked; the first that answers wins.
    """
    told = []
    if move_integers(model):
        drop_unread(model.graph)
    for node in list(model.graph):
        # What was taken into an earlier group belongs to no graph any more.
        if node.graph is None or node.domain not in DEFAULT_DOMAINS:
            continue
        found = next((made for match in matchers if (made := match(node))), None)
        if found is not None:
            replace(model.graph, found)
            told.append(" ".join(each.op_type for each in found.nodes))
    absorb_shuffles(model)
    drop_unread(model.graph)
    return tuple(told)


def drop_unread(graph: ir.Graph) -> None:
    """Remove nodes whose outputs nobody reads any more.

    onnx_ir's pass would also cut off optional inputs that are left out, which emitters expect.
    """
    for node in reversed(list(graph)):
        if not any(map(_is_read, node.outputs)):
            graph.remove(node, safe=True)


def _is_read(value: ir.Value) -> bool:
    return bool(list(value.uses())) or value.is_graph_output()

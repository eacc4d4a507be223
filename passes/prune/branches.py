"""Take the branch that a constant decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.prune.dead_nodes import detach_subgraphs
from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of


@dataclass(frozen=True)
class PruneBranches(EachGraphPass):
    """Replace a Where of a constant condition by what it chooses, and a Loop that never runs.

    Before: ``y = Where(c, a, b)``, where c is true everywhere.
    After: ``y = a``.
    A Loop of zero turns hands on what it began with. An If of a constant condition is
    ``fold-constants``' work; what only the other branch needed is ``prune-dead-nodes``'.
    """

    name: ClassVar[str] = "prune-branches"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Look at each Where and Loop."""
        made, declined = [], []
        for node in list(graph):
            if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Where", "Loop"):
                continue
            found = _chosen(node) if node.op_type == "Where" else _untouched(node)
            if found is None:
                continue
            sources, reason = found
            blocked = _blocked(node, sources)
            if blocked is not None:
                declined.append(note(node, blocked))
                continue
            made.append(note(node, reason))
            _replace(node, sources)
        return made, declined


Sources = Sequence[ir.Value | None]
"""For each output of a node, what it is; None where that is not known."""


def _chosen(node: ir.Node) -> tuple[Sources, str] | None:
    condition = numbers_of(node.inputs[0])
    if condition is None or not condition.size or condition.all() != condition.any():
        return None
    taken = bool(condition.all())
    reason = f"its condition is always {'true' if taken else 'false'}"
    return [node.inputs[1 if taken else 2]], reason


def _untouched(node: ir.Node) -> tuple[Sources, str] | None:
    """Return what a loop that never runs hands on; of what it scans, nothing is known."""
    turns, condition = (numbers_of(value) for value in node.inputs[:2])
    never = turns is not None and turns.size == 1 and int(turns.reshape(())) <= 0
    refused = condition is not None and condition.size == 1 and not condition.any()
    if not (never or refused):
        return None
    carried = node.inputs[2:]
    scanned: list[ir.Value | None] = [None] * (len(node.outputs) - len(carried))
    return [*carried, *scanned], "it never runs"


def _blocked(node: ir.Node, sources: Sources) -> str | None:
    """Return why what a node makes cannot be replaced, or None."""
    for source, result in zip(sources, node.outputs, strict=True):
        if not result.uses() and not result.is_graph_output():
            continue
        if source is None:
            return "what it would have scanned is read"
        if (
            source.shape is None
            or source.shape != result.shape
            or source.dtype != result.dtype
        ):
            return "what it hands on may have another shape"
    return None


def _replace(node: ir.Node, sources: Sources) -> None:
    """Let everyone read the sources; what is a graph output becomes an Identity."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    detach_subgraphs(node)
    for source, result in zip(sources, node.outputs, strict=True):
        if source is None:
            continue
        if result.is_graph_output():
            named = ir.node("Identity", [source], name=f"{node.name or node.op_type}.chosen")
            (value,) = named.outputs
            value.name, value.type, value.shape = result.name, result.type, result.shape
            result.name = None
            graph.insert_before(node, named)
            graph.outputs[graph.outputs.index(result)] = source = value
        result.replace_all_uses_with(source)
    graph.remove(node, safe=True)

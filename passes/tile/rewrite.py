"""Turn regions into nodes that compute strips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, add_constant
from suture.passes.tile.steps import ROWS_AXIS, Kind, Piece, Step
from suture.passes.tile.strips import STRIP, Region


def rewrite(graph: ir.Graph, regions: Sequence[Region]) -> None:
    """Put strips in the place of regions, and remove what nobody reads any more."""
    made = {region.output: _write(graph, region) for region in regions}
    # Not before all are written: a region may read what another one computes.
    for old, new in made.items():
        name, old.name = old.name, None
        new.name = name
        old.replace_all_uses_with(new, replace_graph_outputs=True)
    for node in reversed(list(graph)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            graph.remove(node, safe=True)


def _write(graph: ir.Graph, region: Region) -> ir.Value:
    """Write a region's steps in front of the node whose output they compute; return that."""
    last = region.output.producer()
    assert last is not None
    writer, strips = _Writer(graph, last), []
    for step in region.steps:
        if step.kind == "join":
            strips.append(writer.values[step.reads[0]])
        else:
            writer.write(step)
    return writer.join(Piece(region.output), strips)


class _Writer:
    """Writes steps as nodes in front of a node."""

    def __init__(self, graph: ir.Graph, before: ir.Node) -> None:
        self.values: dict[Piece, ir.Value] = {}
        self._graph, self._before = graph, before
        self._bounds: dict[int, ir.Value] = {}

    def write(self, step: Step) -> None:
        """Write one step."""
        piece = step.writes[0]
        read = [self.values.get(each, each.value) for each in step.reads]
        if step.kind == "part":
            node = self._part(step, read)
        else:
            node = self._slice(piece, step.reads[0], read[0])
        self._add(node, piece, step.kind)

    def join(self, whole: Piece, strips: Sequence[ir.Value]) -> ir.Value:
        """Write what puts strips together; return that."""
        self._add(ir.node("Concat", strips, attributes={"axis": ROWS_AXIS}), whole, "join")
        return self.values[whole]

    def _add(self, node: ir.Node, piece: Piece, kind: Kind) -> None:
        """Put a node that makes a piece in front of the node, under a name that says so."""
        made = node.outputs[0]
        made.type = piece.value.type
        made.shape = ir.Shape(piece.sizes)
        label = f"{piece.rows[0]}:{piece.rows[1]}" if piece.rows else "all"
        made.name = f"{piece.value.name}{STRIP}[{label}] {piece.strip}".rstrip()
        node.name = f"{made.name} {kind}"
        self.values[piece] = made
        self._graph.insert_before(self._before, node)

    def _part(self, step: Step, read: Sequence[ir.Value]) -> ir.Node:
        """Return a node on some rows."""
        assert step.local is not None
        node, rows = step.local.node, step.writes[0].rows
        assert rows is not None
        given = dict(zip(step.local.images, read, strict=True))
        attributes = dict(node.attributes)
        for name, numbers in step.local.attributes(rows).items():
            attributes[name] = ir.AttrInt64s(name, numbers)
        inputs = [value if value is None else given.get(value, value) for value in node.inputs]
        return ir.Node(node.domain, node.op_type, inputs, attributes.values())

    def _slice(self, piece: Piece, source: Piece, value: ir.Value) -> ir.Node:
        """Return a node that copies some rows."""
        assert piece.rows is not None
        base = source.rows[0] if source.rows else 0
        bounds = [self._bound(row - base) for row in piece.rows]
        return ir.node("Slice", [value, *bounds, self._bound(ROWS_AXIS)])

    def _bound(self, number: int) -> ir.Value:
        """Return a constant of one number."""
        if number not in self._bounds:
            name = Names(self._graph).free(f"row.{number}")
            self._bounds[number] = add_constant(
                self._graph, name, np.array([number], np.int64)
            )
        return self._bounds[number]

"""Compute wide hidden layers a block of columns at a time, where memory is short."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import GraphPass, PassContext, PassResult, note
from suture.passes.tile.blocks import Pair, find_pairs, is_block, write_blocks
from suture.passes.tile.peak import Memory, memory, still_over
from suture.passes.tile.strips import Landscape, Piece

BLOCKS = (2, 4, 8, 16, 32)
RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
NARROWEST = 16
"""Columns of a block, at least: kernels compute as many at a time."""


@dataclass(frozen=True)
class TileColumns(GraphPass):
    """Cut pairs of products with a wide layer between into blocks of its columns.

    Exact but for the order in which sums are added up.

    Before: ``y = Gelu(x W + b) V + c`` with all columns of the layer between in memory.
    After: the sum of ``Gelu(x W_j + b_j) V_j`` over blocks, one block at a time.

    Attributes:
        memory_mb: What activations may take, in MiB; what is within stays as it is.
    """

    name: ClassVar[str] = "tile-columns"
    after: ClassVar[tuple[str, ...]] = (
        "compose-*",
        "flatten-*",
        "fold-*",
        "fuse-*",
        "join-*",
        "merge-*",
        "prune-*",
    )
    memory_mb: float = 64.0

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Cut each pair that is over the limit into as few blocks as bring it below."""
        graph, limit = model.graph, int(self.memory_mb * 2**20)
        before = needs(graph)
        if any(map(is_block, graph)) or before.peak <= limit:
            return PassResult(model)
        made, declined = [], []
        for output in [pair.output for pair in find_pairs(graph)]:
            pair = _pair(graph, output)  # not there if it shared a product with the last one
            now = during(before, {*pair.nodes, pair.last}) if pair is not None else 0
            if pair is None or now <= limit:
                continue
            count = _blocks(model, pair, now, limit)
            if count is None:
                declined.append(note(pair.last, "what is live does not become less in blocks"))
                continue
            made.append(note(pair.last, f"{count} blocks of {pair.width // count} columns"))
            write_blocks(graph, pair, count)
        after = needs(graph).peak if made else before.peak
        declined += still_over(graph, before.peak, after, limit)
        return PassResult(model, made=tuple(made), declined=tuple(declined))


def needs(graph: ir.Graph) -> Memory:
    """Return what a graph's nodes need as they are; a reshape is no tensor of its own."""
    same: dict[Piece, Piece] = {}
    steps = []
    for step in Landscape(graph).program(()):
        read = tuple(same.get(piece, piece) for piece in step.reads)
        if step.node is not None and step.node.op_type in RESHAPES and read:
            same[step.writes[0]] = read[0]
        else:
            steps.append(replace(step, reads=read))
    outputs = (Piece(value) for value in graph.outputs)
    return memory(steps, tuple(same.get(piece, piece) for piece in outputs))


def during(found: Memory, nodes: set[ir.Node]) -> int:
    """Return the most that is live while some nodes run."""
    pairs = zip(found.nbytes, found.steps, strict=True)
    return max((now for now, step in pairs if step.node in nodes), default=0)


def _pair(graph: ir.Graph, output: str) -> Pair | None:
    return next((pair for pair in find_pairs(graph) if pair.output == output), None)


def _blocks(model: ir.Model, pair: Pair, now: int, limit: int) -> int | None:
    """Return how many blocks bring a pair below a limit, or else as low as they can."""
    best, least = None, now
    for count in BLOCKS:
        if pair.width % count or pair.width // count < NARROWEST:
            continue
        copy = model.clone()
        same = _pair(copy.graph, pair.output)
        assert same is not None
        made = write_blocks(copy.graph, same, count)
        then = during(needs(copy.graph), made)
        if then < least:
            best, least = count, then
        if then <= limit:
            break
    return best

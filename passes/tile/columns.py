"""Compute wide hidden layers a block of columns at a time, where memory is short."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.cost.model import MARGIN
from suture.compiler.cost.nodes import CostOf, predicted
from suture.passes.base import GraphPass, PassContext, PassResult, note
from suture.passes.tile.blocks import Pair, find_pairs, is_block, write_blocks
from suture.passes.tile.peak import Memory, memory, still_over, told_time
from suture.passes.tile.steps import Piece
from suture.passes.tile.strips import Landscape

BLOCKS = (2, 4, 8, 16, 32)
RESHAPES = ("Flatten", "Reshape", "Squeeze", "Unsqueeze")
NARROWEST = 16
"""Columns of a block, at least: kernels compute as many at a time."""


@dataclass(frozen=True)
class TileColumns(GraphPass):
    """Cut pairs of products with a wide layer between into blocks of its columns.

    Exact but for the order in which sums are added up. What blocks take, the context's cost of
    nodes predicts.

    Before: ``y = Gelu(x W + b) V + c`` with all columns of the layer between in memory.
    After: the sum of ``Gelu(x W_j + b_j) V_j`` over blocks, one block at a time.

    Attributes:
        memory_mb: What activations may take, in MiB; what is within stays as it is.
        extra: The most time that a pair may take beyond that of before, as predicted, as a
            fraction.
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
    extra: float = 1.0

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Cut each pair over the limit into blocks that are expected to pay."""
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
            ways = [way for way in _ways(model, pair, ctx.cost) if way.nbytes < now]
            if not ways:
                declined.append(note(pair.last, "what is live does not become less in blocks"))
                continue
            whole_us = predicted(ctx.cost(model), [*pair.nodes, pair.last])
            paying = [way for way in ways if way.microseconds <= whole_us * (1 + self.extra)]
            best = _best(paying or ways, limit)
            told = f"{best.count} blocks of {pair.width // best.count} columns"
            if not paying:
                spent = told_time(best.microseconds, whole_us)
                declined.append(note(pair.last, f"{told} would be expected to take {spent}"))
                continue
            made.append(note(pair.last, told))
            write_blocks(graph, pair, best.count)
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


@dataclass(frozen=True)
class Way:
    """A pair in blocks.

    Attributes:
        count: How many.
        nbytes: The most that is live while they run.
        microseconds: What they are expected to take.
    """

    count: int
    nbytes: int
    microseconds: float


def _best(ways: Sequence[Way], limit: int) -> Way:
    """Return the fewest blocks of those that come below a limit, or else nearest to it.

    More are taken where they are expected to be faster by more than predictions err.
    """
    over = {way: max(0, way.nbytes - limit) for way in ways}
    near = [way for way in ways if over[way] == min(over.values())]
    least_us = min(way.microseconds for way in near)
    return next(way for way in near if way.microseconds <= least_us * (1 + MARGIN))


def _ways(model: ir.Model, pair: Pair, cost: CostOf) -> Iterator[Way]:
    """Yield the ways to cut a pair, tried on copies of the model."""
    for count in BLOCKS:
        if pair.width % count or pair.width // count < NARROWEST:
            continue
        copy = model.clone()
        same = _pair(copy.graph, pair.output)
        assert same is not None
        made = write_blocks(copy.graph, same, count)
        ordered = [node for node in copy.graph if node in made]
        then = during(needs(copy.graph), made)
        yield Way(count, then, predicted(cost(copy), ordered))

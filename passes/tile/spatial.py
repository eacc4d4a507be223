"""Compute large images a strip of rows at a time, where memory is short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import GraphPass, Note, PassContext, PassResult, note
from suture.passes.tile.peak import Memory, memory, still_over
from suture.passes.tile.rewrite import rewrite
from suture.passes.tile.strips import Landscape, Piece, Region, is_strip, work_of

STRIPS = (2, 4, 8, 16, 32)
LEAST_WORK = 0.01
"""Further work below this fraction counts as this much: copies are not free."""
STEP_WORK = 1_000_000
"""What a further kernel counts as, in multiply-adds: it is called, compiled and stored."""


@dataclass(frozen=True)
class TileSpatial(GraphPass):
    """Cut chains of convolutions into strips of rows until activations fit into memory.

    Exact: every number is computed from the same numbers as before. Strips overlap by the rows
    that windows reach over, and what a later part of the model reads as well may be computed
    again for it rather than kept.

    Before: ``a = Conv(x); y = Conv(a)`` with all of ``a`` in memory.
    After: ``y = Concat(Conv(Conv(Slice(x))), …)`` along rows, a part of ``a`` at a time.

    Attributes:
        memory_mb: What activations may take, in MiB.
        extra: The most work that may be done more than before, as a fraction.
    """

    name: ClassVar[str] = "tile-spatial"
    after: ClassVar[tuple[str, ...]] = ("fold-*", "fuse-*", "prune-*", "merge-*")
    memory_mb: float = 64.0
    extra: float = 0.25

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Choose regions and rewrite them."""
        graph = model.graph
        if any(map(is_strip, graph)):
            return PassResult(model)
        limit = int(self.memory_mb * 2**20)
        search = Search(graph, limit, self.extra)
        before = search.memory(()).peak
        if before <= limit:
            return PassResult(model)
        regions = search.run()
        after = search.memory(regions).peak
        made = tuple(map(_told, regions))
        declined = still_over(graph, before, after, limit)
        rewrite(graph, regions)
        return PassResult(model, made=made, declined=declined)


class Search:
    """A greedy search for regions, each of which mends the place of the peak.

    Args:
        graph: The model's graph.
        limit: What activations may take, in bytes.
        extra: The most further work, as a fraction.
    """

    def __init__(self, graph: ir.Graph, limit: int, extra: float) -> None:
        self._landscape, self._limit = Landscape(graph), limit
        self._outputs = tuple(map(Piece, graph.outputs))
        self._most_work = work_of(self._landscape.program(())) * (1 + extra)

    def memory(self, regions: Sequence[Region]) -> Memory:
        """Return what the program with some regions in strips needs."""
        return memory(self._landscape.program(regions), self._outputs)

    def run(self) -> tuple[Region, ...]:
        """Return the regions found, in no order; none where nothing lowers the excess."""
        families = self._families()
        regions: tuple[Region, ...] = ()
        while (now := self.memory(regions)).peak > self._limit:
            better = self._next(regions, now, families)
            if better is None:
                break
            regions = better
        return self._needed(regions)

    def _needed(self, regions: tuple[Region, ...]) -> tuple[Region, ...]:
        """Return the regions without those that later ones have made needless."""
        most = max(self._limit, self.memory(regions).peak)
        for region in regions:
            rest = tuple(each for each in regions if each is not region)
            if self.memory(rest).peak <= most:
                regions = rest
        return regions

    def _next(
        self, regions: tuple[Region, ...], now: Memory, families: Sequence[Sequence[Region]]
    ) -> tuple[Region, ...] | None:
        """Return the regions with one more, which lowers the excess most for its work."""
        best, most = None, 0.0
        excess, work = now.excess(self._limit), work_of(now.steps)
        for family in families:
            others = tuple(each for each in regions if each.output is not family[0].output)
            for candidate in family:
                if candidate.work > self._most_work:
                    break
                trial = (*others, candidate)
                then = self.memory(trial)
                more = work_of(then.steps) - work
                if work + more > self._most_work:
                    break
                more += STEP_WORK * (len(then.steps) - len(now.steps))
                less = excess - then.excess(self._limit)
                worth = less / max(more, LEAST_WORK * work)
                if worth > most:
                    best, most = trial, worth
                if then.within(candidate.output) <= self._limit:
                    break
        return best

    def _families(self) -> list[list[Region]]:
        """Return what may become strips: regions alike but for the number of strips."""
        found: dict[tuple[ir.Value, frozenset[ir.Value]], Region] = {}
        sizes = sorted({Piece(value).nbytes for value in self._landscape.local})
        for value in self._landscape.local:
            # Its strips and all of it live at the same time.
            if 2 * Piece(value).nbytes > self._limit:
                continue
            for most in (0, *(size for size in sizes if size <= self._limit)):
                region = self._landscape.before(value, most)
                if region is not None:
                    found.setdefault((value, frozenset(region.sources)), region)
        families = ([replace(each, strips=n) for n in STRIPS] for each in found.values())
        fit = ([region for region in family if region.fits] for family in families)
        return [family for family in fit if family]


def _told(region: Region) -> Note:
    sources = ", ".join(str(value.name) for value in region.sources)
    reason = f"{region.strips} strips of {len(region.nodes)} nodes from {sources}"
    return note(region.nodes[-1].node, reason)

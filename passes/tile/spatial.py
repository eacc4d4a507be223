"""Compute large images a strip of rows at a time, where memory is short."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.errors import Location
from suture.passes.base import GraphPass, Note, PassContext, PassResult, note
from suture.passes.tile.peak import still_over, told_time
from suture.passes.tile.rewrite import rewrite
from suture.passes.tile.search import Search
from suture.passes.tile.steps import Times
from suture.passes.tile.strips import Landscape, Region, is_strip


@dataclass(frozen=True)
class TileSpatial(GraphPass):
    """Cut chains of convolutions into strips of rows until activations fit into memory.

    Exact: every number is computed from the same numbers as before. Strips overlap by the rows
    that windows reach over, and what a later part of the model reads as well may be computed
    again for it rather than kept. What that takes, the context's cost of nodes predicts.

    Before: ``a = Conv(x); y = Conv(a)`` with all of ``a`` in memory.
    After: ``y = Concat(Conv(Conv(Slice(x))), …)`` along rows, a part of ``a`` at a time.

    Attributes:
        memory_mb: What activations may take, in MiB.
        extra: The most time that it may take beyond that of before, as predicted, as a
            fraction.
    """

    name: ClassVar[str] = "tile-spatial"
    after: ClassVar[tuple[str, ...]] = ("fold-*", "fuse-*", "prune-*", "merge-*")
    memory_mb: float = 64.0
    extra: float = 0.25

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Choose regions and rewrite them."""
        graph, limit = model.graph, int(self.memory_mb * 2**20)
        if any(map(is_strip, graph)):
            return PassResult(model)
        landscape = Landscape(graph)
        before = landscape.memory(()).peak
        if before <= limit:
            return PassResult(model)
        search = Search(landscape, limit, Times(ctx.cost(model)))
        whole_us, found = search.whole.microseconds, search.run(self.extra)
        made = [*map(_told, found.regions)]
        if made:
            spent = told_time(found.microseconds, whole_us)
            made.append(Note(Location(graph.name or "model"), f"expected to take {spent}"))
        dear = ""
        if found.memory.peak > limit:
            other = search.run(math.inf)
            if other.memory.peak < found.memory.peak:
                spent = told_time(other.microseconds, whole_us)
                dear = f"{other.memory.peak / 2**20:.1f} would be expected to take {spent}"
        declined = still_over(graph, before, found.memory.peak, limit, dear)
        rewrite(graph, found.regions)
        return PassResult(model, made=tuple(made), declined=declined)


def _told(region: Region) -> Note:
    sources = ", ".join(str(value.name) for value in region.sources)
    reason = f"{region.strips} strips of {len(region.nodes)} nodes from {sources}"
    return note(region.nodes[-1].node, reason)

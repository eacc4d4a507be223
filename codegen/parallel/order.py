"""Whether the rounds of a loop may run in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, sym

from suture.codegen.parallel.nest import DATA_PARALLEL, Nest, axes, uses


def obstacle(nest: Nest, loops: Sequence[Any]) -> str | None:
    """Return why some neighbouring loops of a nest need their order, or None.

    TVM's own check of ``parallel`` refuses reductions that are split into start and steps, as
    those of every rule are, so this one stands in: every block must step through data-parallel
    axes only with the loops, and what it writes must be its round's own, which is a place that
    no other round writes or reads, or memory that lives within a round.
    """
    variables = [nest.variable(loop) for loop in loops]
    private = _private_buffers(nest.schedule, nest.schedule.get(loops[-1]))
    writers: dict[Any, list[Any]] = {}
    for block in nest.blocks:
        realize = nest.realize(block)
        name = realize.block.name_hint
        kinds = {int(axis.iter_type) for axis, at in axes(realize) if uses(at, variables)}
        if kinds - {DATA_PARALLEL}:
            return f"{name} adds up along them"
        for region in realize.block.writes:
            if region.source in private:
                continue
            if not _apart(nest, block, region):
                return f"two rounds may write the same place of {region.source.name}"
            writers.setdefault(region.source, []).append(block)
    return _crossing(nest, writers)


def _private_buffers(schedule: Any, loop: Any) -> set[Any]:
    """Return the buffers that are allocated within a round of a loop."""
    private = set()
    state, home = schedule.state, schedule.state.get_sref(loop)
    function = schedule.mod["main"]
    parameters = set(function.params)
    for buffer, place in s_tir.analysis.detect_buffer_access_lca(function).items():
        at = state.get_sref(place) if place is not None else None
        while at is not None and not at.same_as(home):
            at = at.parent
        if at is not None and buffer not in parameters:
            private.add(buffer)
    return private


def _apart(nest: Nest, block: Any, region: Any) -> bool:
    """Whether a block writes another element for each setting of the loops around it.

    Loops of its sums apart: they come back to the same element within one round.
    """
    realize = nest.realize(block)
    free = [(axis, at) for axis, at in axes(realize) if int(axis.iter_type) == DATA_PARALLEL]
    sums = [at for axis, at in axes(realize) if int(axis.iter_type) != DATA_PARALLEL]
    around = [nest.schedule.get(loop) for loop in nest.schedule.get_loops(block)]
    domain = {
        loop.loop_var: tvm.ir.Range.from_min_extent(loop.min, loop.extent)
        for loop in around
        if not any(uses(at, [loop.loop_var]) for at in sums)
    }
    elements = [each.min for each in region.region]
    return (
        all(int(each.extent) == 1 for each in region.region)
        and _one_to_one([at for _, at in free], domain, realize.predicate)
        and _one_to_one(elements, {axis.var: axis.dom for axis, _ in free}, True)
    )


def _one_to_one(places: list[Any], domain: Mapping[Any, Any], predicate: Any) -> bool:
    """Whether expressions take different values for different settings of their variables."""
    found = sym.detect_iter_map(places, domain, predicate, "Bijective")
    return len(found.indices) == len(places)


def _crossing(nest: Nest, writers: Mapping[Any, Sequence[Any]]) -> str | None:
    """Return which buffer might carry numbers from one round to another, if any."""
    for block in nest.blocks:
        node = nest.schedule.get(block)
        own = [written.region for written in node.writes]
        for region in (*node.reads, *node.writes):
            for writer in writers.get(region.source, ()):
                if writer is not block or not any(
                    tvm_ffi.structural_equal(region.region, each) for each in own
                ):
                    return f"{region.source.name} may pass between rounds"
    return None

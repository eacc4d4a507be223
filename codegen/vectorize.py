"""A default schedule: one tile of accumulators in registers for every reduction.

It knows nothing of the operator. Of a block that reduces, the innermost data-parallel axis
becomes vectors, a few steps of an outer one are unrolled, and the sums of that tile stay
local until they are complete. So does the innermost axis of a block of 8-bit numbers with
channels in blocks. Everything else is left to LLVM, which vectorises element-wise loops by
itself. Each sum is still added up in its old order, so results do not
change.
"""

from __future__ import annotations

import logging
from typing import Any

import tvm
from tvm import s_tir

from suture.codegen.schedule.base import SCHEDULED

logger = logging.getLogger(__name__)

# 256-bit vectors of float32: 4 rows of up to 2 vectors are 8 of AVX2's 16 registers.
LANES = 8
ROWS = 4
LEAST_LANES = 4
TWIN_LANES = (4, 8, 16)
DATA_PARALLEL, REDUCTION = 0, 2  # tirx.IterVar.iter_type


def vectorize(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module with every TensorIR function scheduled where that is possible."""
    functions = {
        name: _scheduled(name.name_hint, function)
        if isinstance(function, tvm.tirx.PrimFunc) and not is_scheduled(function)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions)


def is_scheduled(function: tvm.tirx.PrimFunc) -> bool:
    """Whether a rule of its own has scheduled a kernel."""
    return SCHEDULED in (function.attrs or {})


def _scheduled(name: str, function: tvm.tirx.PrimFunc) -> tvm.tirx.PrimFunc:
    done = function
    for block in _top_blocks(function):
        schedule = s_tir.Schedule(done)
        try:
            _tile(schedule, schedule.get_sblock(block))
        except s_tir.ScheduleError as error:
            logger.info("kernel %s: %s is not vectorised: %s", name, block, error)
        else:
            done = schedule.mod["main"].with_attr("global_symbol", name)
    return done


def _top_blocks(function: tvm.tirx.PrimFunc) -> list[str]:
    """Return the names of a function's outermost blocks, in order.

    None where the function is a bare call of TVM's library, as sorting is.
    """
    schedule = s_tir.Schedule(function)
    try:
        root = schedule.get_sblock("root")
    except s_tir.ScheduleError:
        return []
    return [schedule.get(block).name_hint for block in schedule.get_child_blocks(root)]


def _tile(schedule: Any, block: Any) -> None:
    """Tile one block, unless it does not reduce or is too narrow to be worth it."""
    loops = schedule.get_loops(block)
    kinds = [int(axis.iter_type) for axis in schedule.get(block).iter_vars]
    if set(kinds) == {DATA_PARALLEL} and _is_narrow(schedule, block):
        if loops and int(schedule.get(loops[-1]).extent) in TWIN_LANES:
            schedule.vectorize(loops[-1])
        return
    if len(kinds) != len(loops) or set(kinds) != {DATA_PARALLEL, REDUCTION}:
        return
    parallel = [loop for loop, kind in zip(loops, kinds, strict=True) if kind != REDUCTION]
    sums = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == REDUCTION]
    sizes = [int(schedule.get(loop).extent) for loop in parallel]
    wide = [position for position, size in enumerate(sizes) if size > 1]
    if not wide or best_width(sizes[wide[-1]]) < LEAST_LANES:
        return
    outer, rows = list(parallel), []
    outer[wide[-1]], lanes = schedule.split(
        parallel[wide[-1]], [None, best_width(sizes[wide[-1]])]
    )
    if len(wide) > 1:
        row = wide[-min(3, len(wide))]
        count = max(n for n in range(1, ROWS + 1) if sizes[row] % n == 0)
        outer[row], unrolled = schedule.split(parallel[row], [None, count])
        rows = [unrolled]
    schedule.reorder(*outer, *sums, *rows, lanes)
    written = schedule.cache_write(block, 0, "local")
    schedule.reverse_compute_at(written, outer[-1], preserve_unit_loops=True)
    schedule.vectorize(schedule.get_loops(written)[-1])
    schedule.vectorize(lanes)
    for loop in rows:
        schedule.unroll(loop)
    # Vectorising asks for a whole reduction block: this comes last.
    schedule.decompose_reduction(block, sums[0])


def _is_narrow(schedule: Any, block: Any) -> bool:
    """Whether a block reads or writes 8-bit numbers.

    LLVM does not vectorise the way from 8 bits to 32 and back by itself.
    """
    node = schedule.get(block)
    dtypes = {str(region.source.dtype) for region in (*node.reads, *node.writes)}
    return bool(dtypes & {"uint8", "int8"})


def best_width(size: int) -> int:
    """Return the divisor of an axis to vectorise by: full vectors if any, else the widest."""
    widths = [width for width in range(1, 2 * LANES + 1) if size % width == 0]
    return max(widths, key=lambda width: (width % LANES == 0, width))

"""Chains of element-wise blocks become one loop: what lies between them stays in registers.

TVM fuses operators into one kernel but leaves a loop for each of them. A block is taken into
the one block that reads it if that sums nothing and is of the same size, so that nothing is
computed twice.
"""

from __future__ import annotations

import logging
import math
from typing import Any

import tvm
from tvm import s_tir

from suture.codegen.schedule.base import SCHEDULED

logger = logging.getLogger(__name__)

DATA_PARALLEL = 0  # tirx.IterVar.iter_type


def inline(module: tvm.IRModule) -> tvm.IRModule:
    """Return a module in which kernels without a schedule of their own have fewer loops."""
    functions = {
        name: _inlined(name.name_hint, function)
        if isinstance(function, tvm.tirx.PrimFunc) and SCHEDULED not in (function.attrs or {})
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions)


def _inlined(name: str, function: tvm.tirx.PrimFunc) -> tvm.tirx.PrimFunc:
    schedule = s_tir.Schedule(function)
    try:
        root = schedule.get_sblock("root")
    except s_tir.ScheduleError:
        return function
    blocks = schedule.get_child_blocks(root)
    if len(blocks) < 2:
        return function
    for block in blocks:
        readers = schedule.get_consumers(block)
        if len(readers) != 1 or not _alike(schedule, block, readers[0]):
            continue
        try:
            schedule.compute_inline(block)
        except s_tir.ScheduleError as error:
            logger.info("kernel %s: a block keeps its loop: %s", name, error)
    return schedule.mod["main"].with_attr("global_symbol", name)


def _alike(schedule: Any, block: Any, reader: Any) -> bool:
    """Whether two blocks sum nothing and have as many elements."""
    sizes = []
    for each in (block, reader):
        axes = schedule.get(each).iter_vars
        if any(int(axis.iter_type) != DATA_PARALLEL for axis in axes):
            return False
        sizes.append(math.prod(int(axis.dom.extent) for axis in axes))
    return sizes[0] == sizes[1]

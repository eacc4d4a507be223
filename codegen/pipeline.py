"""TVM's pipeline from TensorIR to machine code, with three steps of our own.

Functions that processors lack are written out before it. After it, arguments may lie anywhere:
TVM takes for granted that they begin at a cache line, which a part of a joined tensor or one
image of several need not. Last, accumulators are kept on the stack: TVM lowers every buffer of
a kernel to a call that allocates memory, those of a few vectors too. LLVM then may not drop
what is written there: it carries the accumulators of one loop in registers past the next,
which has too few left and spills. On the stack they are registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir.pipeline import default_s_tir_pipeline
from tvm.tirx.compilation_pipeline import register_tir_pipeline

from suture.codegen.approximate import write_out

PIPELINE = "suture"
MOST_BYTES = 16384
"""Larger buffers stay where TVM puts them: a thread's stack is small."""


def keep_on_stack(allocation: Any) -> Any:
    """Return the allocation of a small local buffer, marked to be left to LLVM."""
    buffer = allocation.buffer
    if buffer.scope() != "local" or not all(hasattr(size, "value") for size in buffer.shape):
        return allocation
    size = tvm.DataType(buffer.dtype)
    total = size.bits // 8 * size.lanes
    for extent in buffer.shape:
        total *= int(extent)
    if total > MOST_BYTES:
        return allocation
    return tirx.AllocBuffer(buffer, {"disable_lower_builtin": tirx.const(True, "bool")})


def forget_alignment(module: tvm.IRModule) -> tvm.IRModule:
    """Take out what TVM takes for granted of the addresses of every kernel's arguments."""
    functions = {
        name: function.with_body(
            tvm_ffi.structural_map(function.body, (tirx.AttrStmt, _unaligned))
        )
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _unaligned(statement: Any) -> Any:
    return statement.body if statement.attr_key == "storage_alignment" else statement


def keep_locals_on_stack(module: tvm.IRModule) -> tvm.IRModule:
    """Mark the small local buffers of every kernel."""
    functions = {
        name: function.with_body(
            tvm_ffi.structural_map(function.body, (tirx.AllocBuffer, keep_on_stack))
        )
        if isinstance(function, tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions, attrs=module.attrs)


def _pipeline() -> tuple[Any, Any, Any]:
    lower, finish_host, finish_device = default_s_tir_pipeline()
    steps = [_step(write_out), lower, _step(forget_alignment), _step(keep_locals_on_stack)]
    return tvm.transform.Sequential(steps), finish_host, finish_device


def _step(change: Callable[[tvm.IRModule], tvm.IRModule]) -> Any:
    name = f"suture.{change.__name__}"
    return tvm.transform.module_pass(lambda module, _: change(module), opt_level=0, name=name)


# TVM takes pipelines by name only.
register_tir_pipeline(PIPELINE, _pipeline)

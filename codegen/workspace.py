"""How much memory kernels ask for while they run, beside what they are given."""

from __future__ import annotations

from typing import Any

import tvm
import tvm_ffi
from tvm import s_tir, tirx

from suture.codegen.memory import aligned


def workspace_bytes(function: tirx.PrimFunc, threads: int) -> int:
    """Return the most bytes of workspaces that a kernel holds at any one time.

    The passes of TVM's pipeline up to ``CompactBufferAllocation`` decide how large they are;
    these are run here. That later ones let a buffer take the place of another is not counted
    on. Buffers in registers do not count; those in a parallel loop are there once a thread.

    Args:
        function: The kernel in TensorIR.
        threads: How many run a parallel loop.
    """
    if not _allocations(function.body):
        return 0
    lowered = _allocate(tvm.IRModule({"main": function}))["main"].body
    in_parallel = 0

    def count(loop: Any) -> None:
        nonlocal in_parallel
        if loop.kind == tirx.ForKind.PARALLEL:
            in_parallel += sum(map(_nbytes, _allocations(loop.body)))

    tvm_ffi.structural_walk(lowered, (tirx.For, count))
    return sum(map(_nbytes, _allocations(lowered))) + (threads - 1) * in_parallel


def _allocations(body: Any) -> list[Any]:
    """Return the buffers that a statement allocates in memory."""
    found: list[Any] = []

    def see(statement: Any) -> None:
        if isinstance(statement, tirx.AllocBuffer):
            found.append(statement.buffer)
        else:
            found.extend(statement.alloc_buffers)

    tvm_ffi.structural_walk(body, ((tirx.AllocBuffer, s_tir.SBlock), see))
    return [buffer for buffer in found if buffer.scope() == "global"]


def _nbytes(buffer: Any) -> int:
    """Return a buffer's size, in whole lines and one more, as the runtime takes them."""
    element = tvm.DataType(buffer.dtype)
    total = element.bits // 8 * element.lanes
    for extent in buffer.shape:
        total *= int(extent)
    return aligned(total + 1)


_allocate = tvm.transform.Sequential(
    [
        s_tir.transform.CanonicalizeLoop(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
        s_tir.transform.ConvertBlocksToOpaque(),
        s_tir.transform.CompactBufferAllocation(),
    ]
)

"""What schedules share: the vector unit they are for, and the work after a reduction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tvm
from tvm import te, tirx

from suture.codegen.processor import level_of
from suture.codegen.schedule.activation import activate
from suture.compiler.target import Target
from suture.passes.recognise.activation import Activation

SCHEDULED = "tirx.is_scheduled"
OPAQUE = 8  # relax.OpPatternKind: never fused with what stands around it


@dataclass(frozen=True)
class Processor:
    """What schedules know of a processor.

    Attributes:
        lanes: float32 numbers in one vector register.
        registers: How many vector registers there are.
        threads: Cores that a kernel may use.
        dots: Names of ways to add up products of 8-bit numbers, the best first.
    """

    lanes: int
    registers: int
    threads: int = 1
    dots: tuple[str, ...] = ("plain",)


WIDTHS: Mapping[str, Processor] = {
    "cascadelake": Processor(lanes=16, registers=32, dots=("vnni",)),
    "x86-64-v4": Processor(lanes=16, registers=32, dots=("maddubs", "madd")),
    "x86-64-v3": Processor(lanes=8, registers=16, dots=("maddubs", "madd")),
    "x86-64": Processor(lanes=4, registers=16),
    "neoverse-n1": Processor(lanes=4, registers=32, dots=("sdot",)),
    "generic": Processor(lanes=4, registers=32),
}
"""Levels of vector instructions → their vector units (AVX-512, AVX2, SSE2, NEON)."""


def processor_of(target: Target) -> Processor:
    """Return the vector unit and the threads of a target's processor."""
    return replace(WIDTHS[level_of(target).name], threads=target.threads)


@dataclass(frozen=True)
class Epilogue:
    """What is done to a sum before it is written.

    Attributes:
        bias: Whether one number a channel is added.
        residual: Whether a tensor of the output's shape is added.
        activation: What follows.
        low: The activation's first parameter: a clip's lower bound, a slope.
        high: Its second parameter: a clip's upper bound, an offset.
        residual_last: Whether the residual is added after the activation.
    """

    bias: bool = False
    residual: bool = False
    activation: Activation = "none"
    low: float = 0.0
    high: float = 0.0
    residual_last: bool = False

    def apply(self, value: Any, bias: Any, residual: Any) -> Any:
        """Return the finished element; ``bias`` and ``residual`` are read where wanted."""
        if self.bias:
            value = value + bias()
        if self.residual and not self.residual_last:
            value = value + residual()
        value = activate(self.activation, value, self.low, self.high)
        return value + residual() if self.residual and self.residual_last else value

    def tensors(
        self, bias: Sequence[int], residual: Sequence[int]
    ) -> tuple[list[Any], Callable[..., Any], Callable[..., Any]]:
        """Return the further arguments of a kernel, and how to read the bias and residual."""
        first = te.placeholder(tuple(bias), name="bias")
        second = te.placeholder(tuple(residual), name="residual")
        used = [t for t, wanted in ((first, self.bias), (second, self.residual)) if wanted]
        return used, lambda *i: first[i], lambda *i: second[i]


def within(value: Any, at: Any, filters: int, lanes: int) -> Any:
    """Return a sum, or zero in a lane beyond the last filter.

    What is infinite makes no number of the weights of zero there, which kernels behind would
    multiply by zero and find in all their sums.

    Args:
        value: The sum, or a vector of them.
        at: Which filter's it is.
        filters: How many filters there are.
        lanes: Numbers of a vector.
    """
    if filters % lanes == 0:
        return value
    if isinstance(value, te.tensor.TensorSlice):
        value = value.asobject()
    vector = isinstance(at, tirx.Ramp)
    last, zero = tirx.const(filters, "int32"), tirx.const(0.0, "float32")
    if vector:
        last, zero = (tirx.Broadcast(each, lanes) for each in (last, zero))
    return tirx.Select(at < last, value, zero)


def ceil_div(size: int, part: int) -> int:
    """Return how many parts cover a size."""
    return -(-size // part)


def efficiency(rows: int, registers_wide: int, processor: Processor) -> float:
    """Return what fraction of the peak a tile of accumulators may reach, by formula.

    Two multiply-adds start each cycle and take four cycles: eight accumulators hide their
    latency. A tile needs one load for each row and for each register of weights, of which
    five start in three cycles as measured. 0 where the tile does not fit into the registers.
    """
    sums = rows * registers_wide
    if sums + registers_wide + 1 > processor.registers:
        return 0.0
    return min(1.0, sums / 8, sums / (1.2 * (rows + registers_wide)))


BYTES_A_CYCLE = 6.0
"""What one core reads from memory in a cycle."""
NOT_HIDDEN = 0.3
"""Share of the shorter of computing and reading that is not done during the longer."""


def weighed(cycles: float, cold_bytes: int) -> float:
    """Return the cycles that computing and reading from memory take together, by formula."""
    reading = cold_bytes / BYTES_A_CYCLE
    return max(cycles, reading) + NOT_HIDDEN * min(cycles, reading)


def finished(schedule: Any) -> tvm.tirx.PrimFunc:
    """Return a scheduled kernel, marked so that nothing schedules or fuses it again."""
    return mark(schedule.mod["main"])


def mark(function: tvm.tirx.PrimFunc) -> tvm.tirx.PrimFunc:
    """Return a kernel whose arguments do not overlap, which nothing schedules or fuses."""
    for key, value in ((SCHEDULED, True), ("tirx.noalias", True), ("op_pattern", OPAQUE)):
        function = function.with_attr(key, value)
    return function.without_attr("global_symbol")

"""Products of 8-bit numbers added up in 32 bits, and what becomes of the sums.

x86's ``vpmaddubsw`` adds two products in 16 bits and saturates. Every way here is exact: it
is used only on weights for which no two products can leave 16 bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from tvm import tirx

from suture.codegen.schedule.base import Processor, ceil_div

MOST_PAIR = 128
"""255 times this much weight, of one sign in two neighbours, still fits into 16 bits."""


QUAD = 4
"""Most channels that any step multiplies at once."""


@dataclass(frozen=True, kw_only=True)
class Integers:
    """How quantised numbers are kept.

    Attributes:
        dtype: Their type.
        zero: The one that means 0.
    """

    dtype: Literal["uint8", "int8"]
    zero: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest of them."""
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)


@dataclass(frozen=True, kw_only=True)
class Finish:
    """What becomes of a sum that is scaled and shifted.

    Attributes:
        out: How the result is quantised, or None where it is float32.
        low: Lower bound, in quanta from zero where the result is quantised; None for none.
        high: Upper bound.
    """

    out: Integers | None = None
    low: float | None = None
    high: float | None = None

    @property
    def dtype(self) -> str:
        """What is written."""
        return "float32" if self.out is None else self.out.dtype

    def apply(self, value: Any, lanes: int) -> Any:
        """Return float32 finished, a vector or one: rounded to even, saturated."""
        low, high = self.low, self.high
        if self.out is not None:
            least, most = (bound - self.out.zero for bound in self.out.bounds)
            low = max(least, least if low is None else low)
            high = min(most, most if high is None else high)
        if high is not None:
            value = tirx.min(value, _all(high, "float32", lanes))
        if low is not None:
            value = tirx.max(value, _all(low, "float32", lanes))
        if self.out is None:
            return value
        return rounded(value, self.out, lanes)


WHOLE = 1.5 * 2.0**23
"""float32 of this magnitude have no fraction: adding it rounds halves to even, in vectors."""
WHOLE_BITS = 0x4B400000
"""Its bits; those of the next numbers count up from here."""


def rounded(value: Any, out: Integers, lanes: int) -> Any:
    """Return float32, in quanta from zero and within bounds, as quantised numbers.

    Args:
        value: A vector, or one.
        out: How they are kept.
        lanes: Numbers of the vector.
    """
    bits = tirx.reinterpret(_vector("int32", lanes), value + _all(WHOLE, "float32", lanes))
    return tirx.Cast(
        _vector(out.dtype, lanes), bits - _all(WHOLE_BITS - out.zero, "int32", lanes)
    )


@dataclass(frozen=True, kw_only=True)
class Dot:
    """A way to add products to 32-bit sums.

    Attributes:
        name: What schedules call it.
        channels: Neighbouring channels that one step multiplies and adds up.
        element: What activations become on the way in.
        work: Vector instructions of one step besides loads.
        scratch: Registers it needs besides sums and weights.
        widened: Whether weights are widened when they are loaded.
    """

    name: str
    channels: int
    element: Literal["int16", "uint8", "int8"]
    work: int
    scratch: int
    widened: bool = False

    @property
    def centred(self) -> bool:
        """Whether activations become differences from their zero on the way in."""
        return self.element == "int16"

    def shift(self, source: Integers) -> int:
        """Return what zero becomes on the way in."""
        if self.centred:
            return 0
        return source.zero + self._flip(source)

    def read(self, value: Any, source: Integers, lanes: int) -> Any:
        """Return a vector of activations, or one, as the steps read them."""
        if self.centred:
            wide = tirx.Cast(_vector("int16", lanes), value)
            return wide - _all(source.zero, "int16", lanes) if source.zero else wide
        if self.element == source.dtype:
            return value
        flipped = tirx.Cast(_vector("int16", lanes), value)
        flipped = flipped + _all(self._flip(source), "int16", lanes)
        return tirx.Cast(_vector(self.element, lanes), flipped)

    def add(self, total: Any, pixels: Any, weights: Any, lanes: int) -> Any:
        """Return sums with one step's products added.

        Args:
            total: ``int32``, one a lane.
            pixels: As many activations as the step has channels.
            weights: ``int8``, as many a lane as the step has channels.
            lanes: Sums.
        """
        count = lanes * self.channels
        if self.name == "plain":
            wide = tirx.Cast(f"int32x{lanes}", weights)
            return total + tirx.Broadcast(tirx.Cast("int32", pixels), lanes) * wide
        seen = tirx.Broadcast(tirx.reinterpret("int32", pixels), lanes)
        seen = tirx.reinterpret(f"{self.element}x{count}", seen)
        sums, pairs = f"int32x{lanes}", f"int16x{lanes * 2}"
        if self.name == "madd":
            wide = tirx.Cast(pairs, weights)
            return total + _intrinsic(sums, _MADD[lanes], seen, wide)
        if self.name == "maddubs":
            two = _intrinsic(pairs, _MADDUBS[lanes], seen, weights)
            return total + _intrinsic(sums, _MADD[lanes], two, _all(1, "int16", lanes * 2))
        return _intrinsic(sums, _DOT[self.name, lanes], total, seen, weights)

    def _flip(self, source: Integers) -> int:
        """Return what is added to go from one 8-bit type to the other."""
        if self.element == source.dtype:
            return 0
        return 128 if self.element == "uint8" else -128


DOTS: Mapping[str, Dot] = {
    dot.name: dot
    for dot in (
        Dot(name="plain", channels=1, element="int16", work=2, scratch=2, widened=True),
        Dot(name="madd", channels=2, element="int16", work=2, scratch=2, widened=True),
        Dot(name="maddubs", channels=4, element="uint8", work=3, scratch=3),
        Dot(name="vnni", channels=4, element="uint8", work=1, scratch=1),
        Dot(name="sdot", channels=4, element="int8", work=1, scratch=1),
    )
}
_MADD = {8: "llvm.x86.avx2.pmadd.wd", 16: "llvm.x86.avx512.pmaddw.d.512"}
_MADDUBS = {8: "llvm.x86.avx2.pmadd.ub.sw", 16: "llvm.x86.avx512.pmaddubs.w.512"}
_DOT = {
    ("vnni", 8): "llvm.x86.avx512.vpdpbusd.256",
    ("vnni", 16): "llvm.x86.avx512.vpdpbusd.512",
    ("sdot", 4): "llvm.aarch64.neon.sdot",
}


def dots(processor: Processor, *, mild: bool) -> tuple[Dot, ...]:
    """Return the ways a processor has, the best first.

    Args:
        processor: What for.
        mild: What ``is_mild`` says of the weights.
    """
    return tuple(DOTS[name] for name in processor.dots if mild or name != "maddubs")


def is_mild(weights: npt.NDArray[np.int8], axis: int) -> bool:
    """Whether no two neighbours along an axis, times anything up to 255, leave 16 bits."""
    channels = np.moveaxis(weights, axis, -1).astype(np.int16)
    if channels.shape[-1] % 2:
        channels = np.pad(channels, [(0, 0)] * (channels.ndim - 1) + [(0, 1)])
    pairs = channels.reshape(*channels.shape[:-1], -1, 2)
    above, below = np.maximum(pairs, 0).sum(-1), np.minimum(pairs, 0).sum(-1)
    return bool(above.max(initial=0) <= MOST_PAIR and below.min(initial=0) >= -MOST_PAIR)


def tile_cycles(rows: int, wide: int, dot: Dot, processor: Processor) -> float:
    """Return about how many cycles a step of a tile takes for each channel; inf if too big.

    Four vector instructions start a cycle, of loads, many of which broadcast, a bit less than
    two, and six instructions in all. Of equal tiles, that of fewer loads is better.
    """
    sums = rows * wide
    if sums + wide + dot.scratch > processor.registers:
        return float("inf")
    work = sums * dot.work + wide * dot.widened
    loads = rows + wide
    cycles = max(work / 4, loads / 1.6, (work + loads) / 6)
    return (cycles + loads / 20) / dot.channels


def inner_channels(channels: int, processor: Processor) -> int:
    """Return how many channels of a block are multiplied: of few, not all lanes."""
    return min(processor.lanes, ceil_div(channels, QUAD) * QUAD)


def _all(value: float, dtype: str, lanes: int) -> Any:
    one = tirx.const(value, dtype)
    return one if lanes == 1 else tirx.Broadcast(one, lanes)


def _vector(dtype: str, lanes: int) -> str:
    return dtype if lanes == 1 else f"{dtype}x{lanes}"


def _intrinsic(dtype: str, name: str, *operands: Any) -> Any:
    return tirx.call_llvm_pure_intrin(dtype, name, *operands)

"""What 8-bit convolutions and products share: a block of pixels prepared, multiplied, written.

Pixels are prepared once in the second cache, as 16-bit differences from their zero or as they
lie, with padding; every tile of filters reads them there. A tile of ``rows`` pixels by
``columns`` filters stays in registers until its 32-bit sums are complete.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm import tirx
from tvm.script.ir_builder import tirx as script

from suture.codegen.schedule.base import Processor, ceil_div
from suture.codegen.schedule.dot import Dot, Finish, Integers, inner_channels

PREPARED_BYTES = 192 * 1024
"""What a block of prepared pixels may take of the second cache."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What a kernel reads besides activations.

    Attributes:
        weights: int8, as the steps read them.
        start: int32, what each filter's sum begins with; None where that is 0.
    """

    weights: npt.NDArray[np.int8]
    start: npt.NDArray[np.int32] | None


def pack_filters(
    weights: npt.NDArray[np.int8],
    columns: int,
    *,
    source: Integers,
    dot: Dot,
    processor: Processor,
) -> Packed:
    """Return weights ``(filters, channels, height, width)`` as a kernel reads them."""
    filters, channels, *kernel = weights.shape
    inner = inner_channels(channels, processor)
    tall = ceil_div(filters, columns) * columns
    seen = ceil_div(channels, inner)
    whole = np.zeros((tall, seen * inner, *kernel), np.int8)
    whole[:filters, :channels] = weights
    steps = inner // dot.channels
    tiles = whole.reshape(-1, columns, seen, steps, dot.channels, *kernel)
    shift = dot.shift(source)
    start = -shift * whole.sum(axis=(1, 2, 3), dtype=np.int32)
    return Packed(
        weights=np.ascontiguousarray(tiles.transpose(0, 5, 6, 2, 3, 1, 4)).reshape(
            len(tiles), *kernel, seen * steps, columns * dot.channels
        ),
        start=None if dot.centred else start.astype(np.int32),
    )


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes of a kernel.

    Attributes:
        seen: Blocks of input channels.
        channels: Input channels.
        kernel: Taps.
        strides: From one output to the next, in prepared pixels.
        dilations: From one tap to the next.
        rows: Output pixels of a tile.
        columns: Filters of a tile.
        tiles: Tiles of filters.
    """

    seen: int
    channels: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    rows: int
    columns: int
    tiles: int


class Int8Kernel(ABC):
    """A kernel in the making.

    Args:
        layout: Its sizes.
        source: How activations are quantised.
        dot: How products are added up.
        finish: What becomes of the sums.
        processor: What for.
    """

    def __init__(
        self,
        layout: Layout,
        source: Integers,
        *,
        dot: Dot,
        finish: Finish,
        processor: Processor,
    ) -> None:
        self.layout, self.source, self.dot, self.finish = layout, source, dot, finish
        self.processor, self.lanes = processor, processor.lanes
        self.inner = inner_channels(layout.channels, processor)
        self.steps = self.inner // dot.channels

    @abstractmethod
    def read(self, block: Any, row: Any, column: Any) -> Any:
        """Return a vector of activations at a place of what is prepared, padding included."""

    @abstractmethod
    def write(self, value: Any, filters: Any, place: tuple[Any, Any], count: int) -> None:
        """Write a vector of results; of the filters from one on, ``count`` are to be kept."""

    def argument(self, name: str, *sizes: int, dtype: str = "float32") -> Any:
        """Declare an argument."""
        return script.arg(name, script.buffer(sizes, dtype))

    def constants(self) -> None:
        """Declare what every kernel reads: weights, start, scale and bias."""
        layout = self.layout
        filters = layout.tiles * layout.columns
        wide = layout.columns * self.dot.channels
        self.weights = self.argument(
            "weights",
            layout.tiles,
            *layout.kernel,
            layout.seen * self.steps,
            wide,
            dtype="int8",
        )
        if not self.dot.centred:
            self.start = self.argument("start", filters, dtype="int32")
        self.scale = self.argument("scale", filters)
        self.bias = self.argument("bias", filters)

    def block(self, prepared: Any, first: tuple[Any, Any], size: tuple[int, int]) -> None:
        """Prepare the pixels of a block of outputs and multiply them by every filter.

        Args:
            prepared: Where.
            first: Row and column of the first output, for ``write``.
            size: Rows and columns of outputs.
        """
        layout, (high, across) = self.layout, size
        self.prepare(prepared)
        kept = self.kept
        whole = layout.tiles if kept == layout.columns else layout.tiles - 1
        with self.shared(0, whole * high) as number:
            tile, row = tirx.floordiv(number, high), tirx.floormod(number, high)
            self.runs(prepared, tile, row, first, across, layout.columns)
        if whole < layout.tiles:
            with self.shared(0, high) as row:
                self.runs(prepared, whole, row, first, across, kept)

    @property
    def shared(self) -> Any:
        """The loop whose rounds threads may share."""
        return script.parallel if self.processor.threads > 1 else script.serial

    def prepare(self, prepared: Any) -> None:
        """Write activations as the steps read them."""
        _, high, across, inner = (int(size) for size in prepared.shape)
        with (
            self.shared(0, self.whole) as c,
            script.serial(0, high) as row,
            script.serial(0, across) as column,
        ):
            at = [c, row, column, tirx.Ramp(0, 1, inner)]
            script.buffer_store(prepared, self.read(c, row, column), at)

    @property
    def whole(self) -> int:
        """How many blocks of channels can be read as vectors."""
        return self.layout.seen

    @property
    def kept(self) -> int:
        """How many filters of the last tile are written."""
        return self.layout.columns

    def runs(
        self, prepared: Any, tile: Any, row: Any, first: tuple[Any, Any], size: int, kept: int
    ) -> None:
        """Go over a row of outputs, the last of them in a tile of fewer pixels."""
        rows = self.layout.rows
        whole, tail = divmod(size, rows)
        count = (rows * self.layout.columns,)
        self.sums = script.alloc_buffer(count, "int32", scope="local")
        if kept % self.lanes:
            self.edge = script.alloc_buffer((self.lanes,), self.finish.dtype, scope="local")
        with script.serial(0, whole) as run:
            self.sum(prepared, tile, (row, run * rows), rows)
            self.end(tile, (first[0] + row, first[1] + run * rows), rows, kept)
        if tail:
            self.sum(prepared, tile, (row, whole * rows), tail)
            self.end(tile, (first[0] + row, first[1] + whole * rows), tail, kept)

    def sum(self, prepared: Any, tile: Any, place: tuple[Any, Any], rows: int) -> None:
        """Add up the products of a tile."""
        layout, lanes, step = self.layout, self.lanes, self.dot.channels
        wide = layout.columns // lanes
        with script.unroll(0, rows) as row, script.unroll(0, wide) as vector:
            at = row * layout.columns + vector * lanes
            begin = tirx.Broadcast(tirx.const(0, "int32"), lanes)
            if not self.dot.centred:
                filters = tile * layout.columns + vector * lanes
                begin = self.start[tirx.Ramp(filters, 1, lanes)]
            script.buffer_store(self.sums, begin, [tirx.Ramp(at, 1, lanes)])
        # One step a turn: of several, LLVM would add up products before it adds them to the
        # sums, and run out of registers.
        with (
            script.serial(0, layout.kernel[0]) as y,
            script.serial(0, layout.kernel[1]) as x,
            script.serial(0, layout.seen * self.steps) as s,
            script.unroll(0, rows) as row,
            script.unroll(0, wide) as vector,
        ):
            at = tirx.Ramp(row * layout.columns + vector * lanes, 1, lanes)
            c, channel = tirx.floordiv(s, self.steps), tirx.floormod(s, self.steps) * step
            i = place[0] * layout.strides[0] + y * layout.dilations[0]
            j = (place[1] + row) * layout.strides[1] + x * layout.dilations[1]
            pixels = prepared[c, i, j, tirx.Ramp(channel, 1, step) if step > 1 else channel]
            filters = tirx.Ramp(vector * lanes * step, 1, lanes * step)
            total = self.dot.add(
                self.sums[at], pixels, self.weights[tile, y, x, s, filters], lanes
            )
            script.buffer_store(self.sums, total, [at])

    def end(self, tile: Any, place: tuple[Any, Any], rows: int, kept: int) -> None:
        """Scale, shift and write a tile."""
        columns, lanes = self.layout.columns, self.lanes
        for vector in range(ceil_div(kept, lanes)):
            filters = tile * columns + vector * lanes
            channels = tirx.Ramp(filters, 1, lanes)
            with script.unroll(0, rows) as row:
                sums = self.sums[tirx.Ramp(row * columns + vector * lanes, 1, lanes)]
                value = tirx.Cast(f"float32x{lanes}", sums)
                value = value * self.scale[channels] + self.bias[channels]
                value = self.finish.apply(value, lanes)
                count = min(lanes, kept - vector * lanes)
                self.write(value, filters, (place[0], place[1] + row), count)

"""Pointwise convolution in groups that are no whole blocks, over any order of channels.

Each tile of filters goes over a list of channels of its own: those of its group, wherever
they lie in the image. A tile that more than one group touches is done once for each of them,
and each writes its own lanes; no product of one group enters another's sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from suture.codegen.schedule.base import (
    Epilogue,
    Processor,
    ceil_div,
    efficiency,
    mark,
    within,
)

MOST_ROWS = 14
MOST_WIDE = 3


@dataclass(frozen=True, kw_only=True)
class GatheredShape:
    """A grouped pointwise convolution, all sizes fixed.

    Attributes:
        channels: Input channels, a multiple of the groups.
        filters: Output channels, a multiple of the groups.
        groups: Parts of the channels that do not see each other.
        pixels: Height times width.
    """

    channels: int
    filters: int
    groups: int
    pixels: int


@dataclass(frozen=True)
class Segment:
    """One group's share of one tile of filters: lanes from ``low`` up to ``high``."""

    tile: int
    group: int
    low: int
    high: int


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What a kernel reads besides the image.

    Attributes:
        weights: ``(entries, columns)``, float32; zero outside of a segment's lanes.
        offsets: ``(entries,)``, int32: where the channel of each entry begins in the image.
        segments: ``(segments, 5)``, int32: tile, first entry, end of entries, low, high.
    """

    weights: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int32]
    segments: npt.NDArray[np.int32]


@dataclass(frozen=True)
class GatheredConv:
    """A tile of accumulators.

    Attributes:
        rows: Pixels of a tile.
        columns: Filters of a tile, a multiple of the lanes.
    """

    name: ClassVar[str] = "gathered-conv"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: GatheredShape, processor: Processor) -> tuple[GatheredConv, ...]:
        """Return every legal tile, the most promising first by formula."""
        blocks = ceil_div(shape.filters, processor.lanes)
        costs = {}
        for wide in range(1, min(MOST_WIDE, blocks) + 1):
            if blocks % wide:
                continue
            for rows in range(1, min(MOST_ROWS, shape.pixels) + 1):
                best = efficiency(rows, wide, processor)
                if best:
                    tile = cls(rows, wide * processor.lanes)
                    whole, tail = divmod(shape.pixels, rows)
                    least = efficiency(tail, wide, processor) if tail else 1.0
                    passes = whole / best + tail / rows / least
                    costs[tile] = len(tile.segments(shape)) * wide * rows * passes
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def segments(self, shape: GatheredShape) -> tuple[Segment, ...]:
        """Return the tiles' shares, those of one group only first."""
        made = shape.filters // shape.groups
        found = []
        for tile in range(ceil_div(shape.filters, self.columns)):
            begin = tile * self.columns
            end = min(begin + self.columns, shape.filters)
            for group in range(begin // made, ceil_div(end, made)):
                low, high = max(begin, group * made), min(end, (group + 1) * made)
                alone = (low, high) == (begin, end)
                high = begin + self.columns if alone else high
                found.append(Segment(tile, group, low - begin, high - begin))
        return tuple(sorted(found, key=lambda s: s.high - s.low < self.columns))

    def pack(
        self,
        weights: npt.NDArray[np.float32],
        shape: GatheredShape,
        processor: Processor,
        order: Sequence[int] | None = None,
    ) -> Gathered:
        """Return weights ``(filters, channels / groups, 1, 1)`` as the kernel reads them.

        Args:
            weights: As in ONNX.
            shape: What they are for.
            processor: What the kernel is for.
            order: For each channel that the weights mean, where it is in the image.
        """
        lanes, seen = processor.lanes, shape.channels // shape.groups
        made = shape.filters // shape.groups
        places = np.arange(shape.channels) if order is None else np.asarray(order)
        starts = places // lanes * shape.pixels * lanes + places % lanes
        segments = self.segments(shape)
        packed = np.zeros((len(segments), seen, self.columns), np.float32)
        for block, segment in zip(packed, segments, strict=True):
            begin = segment.tile * self.columns
            low = begin + segment.low
            high = min(begin + segment.high, (segment.group + 1) * made)
            block[:, segment.low : high - begin] = weights[low:high, :, 0, 0].T
        offsets = [starts[s.group * seen : (s.group + 1) * seen] for s in segments]
        rows = [
            (s.tile, n * seen, (n + 1) * seen, s.low, s.high) for n, s in enumerate(segments)
        ]
        return Gathered(
            weights=packed.reshape(-1, self.columns),
            offsets=np.concatenate(offsets).astype(np.int32),
            segments=np.array(rows, np.int32),
        )

    def kernel(
        self, shape: GatheredShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        Image ``(blocks, 1, pixels, lanes)``, weights, offsets, segments, bias ``(filters in
        whole blocks,)`` and residual if any, output like the image.
        """
        return _Kernel(self, shape, epilogue, processor).build()


class _Kernel:
    """A kernel in the making."""

    def __init__(
        self,
        tile: GatheredConv,
        shape: GatheredShape,
        epilogue: Epilogue,
        processor: Processor,
    ) -> None:
        self.tile, self.shape, self.epilogue = tile, shape, epilogue
        self.processor, self.lanes = processor, processor.lanes
        self.wide = tile.columns // processor.lanes

    def build(self) -> tvm.tirx.PrimFunc:
        shape, lanes = self.shape, self.lanes
        segments = self.tile.segments(shape)
        alone = sum(s.high - s.low == self.tile.columns for s in segments)
        entries = len(segments) * (shape.channels // shape.groups)
        blocks = ceil_div(shape.filters, lanes)
        seen = ceil_div(shape.channels, lanes)
        out = (blocks, 1, shape.pixels, lanes)
        with IRBuilder() as builder, script.prim_func(s_tir=True):
            script.func_name("main")
            self.image = script.arg(
                "image", script.buffer((seen, 1, shape.pixels, lanes), "float32")
            )
            self.weights = script.arg(
                "weights", script.buffer((entries, self.tile.columns), "float32")
            )
            self.offsets = script.arg("offsets", script.buffer((entries,), "int32"))
            self.segments = script.arg("segments", script.buffer((len(segments), 5), "int32"))
            if self.epilogue.bias:
                self.bias = script.arg("bias", script.buffer((blocks * lanes,), "float32"))
            if self.epilogue.residual:
                self.residual = script.arg("residual", script.buffer(out, "float32"))
            self.out = script.arg("result", script.buffer(out, "float32"))
            loop = script.parallel if self.processor.threads > 1 else script.serial
            with loop(0, alone) as segment:
                self.pixels(segment, shared=False)
            # Segments of one tile write the same vectors, one after the other.
            with script.serial(0, len(segments) - alone) as segment:
                self.pixels(alone + segment, shared=True)
        return mark(builder.get())

    def pixels(self, segment: Any, *, shared: bool) -> None:
        """Go over the pixels, the last of them in a tile of fewer rows."""
        rows = self.tile.rows
        sums = script.alloc_buffer((rows * self.tile.columns,), "float32", scope="local")
        whole, tail = divmod(self.shape.pixels, rows)
        with script.serial(0, whole) as run:
            self.sum(sums, segment, run * rows, rows)
            self.finish(sums, segment, run * rows, rows, shared=shared)
        if tail:
            self.sum(sums, segment, whole * rows, tail)
            self.finish(sums, segment, whole * rows, tail, shared=shared)

    def sum(self, sums: Any, segment: Any, first: Any, rows: int) -> None:
        """Add up the products of a tile."""
        columns, lanes = self.tile.columns, self.lanes
        with script.unroll(0, rows * self.wide) as at, script.vectorized(0, lanes) as v:
            script.buffer_store(sums, tirx.const(0.0, "float32"), [at * lanes + v])
        with (
            script.serial(self.segments[segment, 1], self.segments[segment, 2]) as entry,
            script.unroll(0, rows) as row,
            script.unroll(0, self.wide) as vector,
            script.vectorized(0, lanes) as v,
        ):
            at, column = row * columns + vector * lanes + v, vector * lanes + v
            pixel = self.image[0, 0, 0, self.offsets[entry] + (first + row) * lanes]
            script.buffer_store(sums, sums[at] + pixel * self.weights[entry, column], [at])

    def finish(self, sums: Any, segment: Any, first: Any, rows: int, *, shared: bool) -> None:
        """Write a tile."""
        lanes, tile = self.lanes, self.segments[segment, 0]
        with (
            script.unroll(0, rows) as row,
            script.unroll(0, self.wide) as vector,
            script.vectorized(0, lanes) as v,
        ):
            block, pixel = tile * self.wide + vector, first + row
            column = vector * lanes + v
            value = self.epilogue.apply(
                within(
                    sums[row * self.tile.columns + column],
                    block * lanes + v,
                    self.shape.filters,
                    lanes,
                ),
                lambda: self.bias[block * lanes + v],
                lambda: self.residual[block, 0, pixel, v],
            )
            if shared:
                low, high = self.segments[segment, 3], self.segments[segment, 4]
                mine = tirx.all(low <= column, column < high)
                value = tirx.Select(mine, value, self.out[block, 0, pixel, v])
            script.buffer_store(self.out, value, [block, 0, pixel, v])

"""Pointwise convolution of an image that is scaled, shifted and clipped at zero on the way in.

A block of pixels is prepared once, in the second cache, and then read by every tile of
filters; the scaled image is never written out (DenseNet normalises before each convolution).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from suture.codegen.schedule.activation import at_least
from suture.codegen.schedule.base import (
    Epilogue,
    Processor,
    ceil_div,
    efficiency,
    mark,
    within,
)

MOST_ROWS = 14
MOST_WIDE = 4
PREPARED_BYTES = 64 * 1024
"""What a block of prepared pixels may take of the second cache."""


@dataclass(frozen=True, kw_only=True)
class PointwiseShape:
    """A pointwise convolution with a prologue, all sizes fixed.

    Attributes:
        channels: Input channels.
        filters: Output channels.
        pixels: Height times width.
        clipped: Whether what is scaled and shifted is clipped at zero.
    """

    channels: int
    filters: int
    pixels: int
    clipped: bool


@dataclass(frozen=True)
class PointwiseConv:
    """A tile of accumulators.

    Attributes:
        rows: Pixels of a tile.
        columns: Filters of a tile, a multiple of the lanes that divides the padded filters.
        runs: Tiles of pixels that are prepared at once.
    """

    name: ClassVar[str] = "pointwise-conv"
    rows: int
    columns: int
    runs: int

    @classmethod
    def space(cls, shape: PointwiseShape, processor: Processor) -> tuple[PointwiseConv, ...]:
        """Return every legal tile, the most promising first by formula."""
        lanes = processor.lanes
        blocks = ceil_div(shape.filters, lanes)
        pixel_bytes = ceil_div(shape.channels, lanes) * lanes * 4
        costs = {}
        for wide in range(1, MOST_WIDE + 1):
            if blocks % wide:
                continue
            for rows in range(1, min(MOST_ROWS, shape.pixels) + 1):
                best = efficiency(rows, wide, processor)
                if best:
                    most = max(1, PREPARED_BYTES // (pixel_bytes * rows))
                    runs = min(most, max(1, shape.pixels // rows))
                    whole, tail = divmod(shape.pixels, rows)
                    least = efficiency(tail, wide, processor) if tail else 1.0
                    costs[cls(rows, wide * lanes, runs)] = whole * rows / best + tail / least
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def pack(
        self, weights: npt.NDArray[np.float32], shape: PointwiseShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(filters, channels, 1, 1)`` as the kernel reads them."""
        lanes = processor.lanes
        filters, channels = (
            ceil_div(size, lanes) * lanes for size in (shape.filters, shape.channels)
        )
        whole = np.zeros((filters, channels), np.float32)
        whole[: shape.filters, : shape.channels] = weights[:, :, 0, 0]
        tiles = whole.reshape(filters // self.columns, self.columns, channels)
        return np.ascontiguousarray(tiles.transpose(0, 2, 1))

    def kernel(
        self, shape: PointwiseShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        Image ``(blocks, 1, pixels, lanes)``, scale and shift ``(channels in whole blocks,)``,
        weights, bias and residual if any, output like the image.
        """
        return _Kernel(self, shape, epilogue, processor).build()


class _Kernel:
    """A kernel in the making."""

    def __init__(
        self,
        tile: PointwiseConv,
        shape: PointwiseShape,
        epilogue: Epilogue,
        processor: Processor,
    ) -> None:
        self.tile, self.shape, self.epilogue = tile, shape, epilogue
        self.processor, self.lanes = processor, processor.lanes
        self.wide = tile.columns // processor.lanes
        self.seen = ceil_div(shape.channels, processor.lanes)

    def build(self) -> tvm.tirx.PrimFunc:
        shape, lanes, tile = self.shape, self.lanes, self.tile
        blocks = ceil_div(shape.filters, lanes)
        self.tiles = blocks // self.wide
        out = (blocks, 1, shape.pixels, lanes)

        def argument(name: str, *sizes: int) -> Any:
            return script.arg(name, script.buffer(sizes, "float32"))

        with IRBuilder() as builder, script.prim_func(s_tir=True):
            script.func_name("main")
            self.image = argument("image", self.seen, 1, shape.pixels, lanes)
            self.scale = argument("scale", self.seen * lanes)
            self.shift = argument("shift", self.seen * lanes)
            self.weights = argument("weights", self.tiles, self.seen * lanes, tile.columns)
            if self.epilogue.bias:
                self.bias = argument("bias", blocks * lanes)
            if self.epilogue.residual:
                self.residual = argument("residual", *out)
            self.out = argument("result", *out)
            size = tile.rows * tile.runs
            whole, rest = divmod(shape.pixels, size)
            loop = script.parallel if self.processor.threads > 1 else script.serial
            with loop(0, whole) as number:
                self.block(number * size, size)
            if rest:
                self.block(whole * size, rest)
        return mark(builder.get())

    def block(self, first: Any, pixels: int) -> None:
        """Prepare a block of pixels and multiply it by every tile of filters."""
        lanes, rows = self.lanes, self.tile.rows
        prepared = script.alloc_buffer((self.seen, pixels, lanes), "float32")
        sums = script.alloc_buffer((rows * self.tile.columns,), "float32", scope="local")
        with (
            script.serial(0, self.seen) as c,
            script.serial(0, pixels) as pixel,
            script.vectorized(0, lanes) as v,
        ):
            at = c * lanes + v
            value = self.image[c, 0, first + pixel, v] * self.scale[at] + self.shift[at]
            if self.shape.clipped:
                value = at_least(value, 0.0)
            script.buffer_store(prepared, value, [c, pixel, v])
        whole, tail = divmod(pixels, rows)
        with script.serial(0, self.tiles) as tile:
            with script.serial(0, whole) as run:
                self.sum(sums, prepared, tile, run * rows, rows)
                self.finish(sums, tile, (first, run * rows), rows)
            if tail:
                self.sum(sums, prepared, tile, whole * rows, tail)
                self.finish(sums, tile, (first, whole * rows), tail)

    def sum(self, sums: Any, prepared: Any, tile: Any, pixel: Any, rows: int) -> None:
        """Add up the products of a tile."""
        columns, lanes = self.tile.columns, self.lanes
        with script.unroll(0, rows * self.wide) as at, script.vectorized(0, lanes) as v:
            script.buffer_store(sums, tirx.const(0.0, "float32"), [at * lanes + v])
        with (
            script.serial(0, self.seen) as c,
            script.unroll(0, lanes) as lane,
            script.unroll(0, rows) as row,
            script.unroll(0, self.wide) as vector,
            script.vectorized(0, lanes) as v,
        ):
            at, column = row * columns + vector * lanes + v, vector * lanes + v
            product = (
                prepared[c, pixel + row, lane] * self.weights[tile, c * lanes + lane, column]
            )
            script.buffer_store(sums, sums[at] + product, [at])

    def finish(self, sums: Any, tile: Any, place: tuple[Any, Any], rows: int) -> None:
        """Write a tile."""
        lanes, (first, pixel) = self.lanes, place
        with (
            script.unroll(0, rows) as row,
            script.unroll(0, self.wide) as vector,
            script.vectorized(0, lanes) as v,
        ):
            block, at = tile * self.wide + vector, first + pixel + row
            value = self.epilogue.apply(
                within(
                    sums[row * self.tile.columns + vector * lanes + v],
                    block * lanes + v,
                    self.shape.filters,
                    lanes,
                ),
                lambda: self.bias[block * lanes + v],
                lambda: self.residual[block, 0, at, v],
            )
            script.buffer_store(self.out, value, [block, 0, at, v])

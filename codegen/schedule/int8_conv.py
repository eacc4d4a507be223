"""Convolution of 8-bit numbers over channels in blocks: exact sums, rescaled when written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from suture.codegen.schedule.base import Processor, ceil_div, mark
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.dot import DOTS, Finish, Integers, dots, tile_cycles
from suture.codegen.schedule.int8_tile import (
    PREPARED_BYTES,
    Int8Kernel,
    Layout,
    Packed,
    pack_filters,
)

MOST_ROWS = 14
MOST_WIDE = 4


@dataclass(frozen=True, kw_only=True)
class Int8ConvShape:
    """A convolution of quantised numbers.

    Attributes:
        conv: Its sizes; one group, not plain.
        source: How the image is quantised.
        mild: Whether two products of neighbouring channels fit into 16 bits.
    """

    conv: ConvShape
    source: Integers
    mild: bool


@dataclass(frozen=True)
class Int8Conv:
    """A tile of accumulators.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
        columns: Filters of a tile, a multiple of the lanes that divides the padded filters.
        block: Output rows that are prepared at once; pixels where there is one row.
        dot: How products are added up, by name.
    """

    name: ClassVar[str] = "int8-conv"
    rows: int
    columns: int
    block: int
    dot: str

    @classmethod
    def space(cls, shape: Int8ConvShape, processor: Processor) -> tuple[Int8Conv, ...]:
        """Return every legal tile, the most promising first by formula."""
        lanes, conv = processor.lanes, _flat(shape.conv)
        blocks, across = ceil_div(conv.filters, lanes), conv.out[1]
        costs = {}
        for dot in dots(processor, mild=shape.mild):
            for wide in range(1, MOST_WIDE + 1):
                for rows in range(1, min(MOST_ROWS, across) + 1):
                    cycles = tile_cycles(rows, wide, dot, processor)
                    if blocks % wide or not np.isfinite(cycles):
                        continue
                    whole, tail = divmod(across, rows)
                    cycles *= whole
                    if tail:
                        cycles += tile_cycles(tail, wide, dot, processor)
                    block = _block(shape, 2 if dot.centred else 1, rows, processor)
                    costs[cls(rows, wide * lanes, block, dot.name)] = cycles / wide
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def pack(
        self, weights: npt.NDArray[np.int8], shape: Int8ConvShape, processor: Processor
    ) -> Packed:
        """Return weights ``(filters, channels, height, width)`` as the kernel reads them."""
        return pack_filters(
            weights,
            self.columns,
            source=shape.source,
            dot=DOTS[self.dot],
            processor=processor,
        )

    def kernel(
        self, shape: Int8ConvShape, finish: Finish, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        Image ``(blocks, height, width, lanes)``, weights, start if any, scale and bias
        ``(filters in whole blocks,)``, output like the image.
        """
        conv, lanes = shape.conv, processor.lanes
        layout = Layout(
            seen=ceil_div(conv.channels, lanes),
            channels=conv.channels,
            kernel=conv.kernel,
            strides=_steps(conv),
            dilations=conv.dilations,
            rows=self.rows,
            columns=self.columns,
            tiles=ceil_div(conv.filters, lanes) * lanes // self.columns,
        )
        kernel = _Kernel(
            layout, shape.source, dot=DOTS[self.dot], finish=finish, processor=processor
        )
        return kernel.build(conv, self.block)


def _block(shape: Int8ConvShape, element_bytes: int, rows: int, processor: Processor) -> int:
    """Return how many output rows, or pixels of a single row, to prepare at once."""
    conv = _flat(shape.conv)
    high, across = conv.out
    depth = ceil_div(conv.channels, processor.lanes) * processor.lanes * element_bytes
    if high == 1:
        most = max(1, PREPARED_BYTES // (depth * conv.strides[1] * rows)) * rows
        return min(most, across)
    row_bytes = depth * ((across - 1) * conv.strides[1] + conv.reach[1])
    most = PREPARED_BYTES // row_bytes - conv.reach[0]
    return min(max(1, most // conv.strides[0] + 1), high)


def _flat(conv: ConvShape) -> ConvShape:
    """Return a convolution that sees one pixel for each as one over one long row."""
    if not conv.dense:
        return conv
    return replace(conv, height=1, width=conv.height * conv.width)


def _steps(conv: ConvShape) -> tuple[int, int]:
    """Return strides in prepared pixels: what one tap skips is not prepared."""
    down, right = conv.strides
    return 1 if conv.kernel[0] == 1 else down, 1 if conv.kernel[1] == 1 else right


class _Kernel(Int8Kernel):
    """A convolution in the making."""

    def build(self, conv: ConvShape, block: int) -> tvm.tirx.PrimFunc:
        self.conv, lanes = _flat(conv), self.lanes
        high, across = self.conv.out
        blocks = self.layout.tiles * self.layout.columns // lanes
        self.skips = tuple(
            stride // step
            for stride, step in zip(conv.strides, self.layout.strides, strict=True)
        )
        with IRBuilder() as builder, script.prim_func(s_tir=True):
            script.func_name("main")
            self.image = self.argument(
                "image",
                *(self.layout.seen, conv.height, conv.width, lanes),
                dtype=self.source.dtype,
            )
            self.constants()
            self.out = self.argument(
                "result", blocks, *conv.out, lanes, dtype=self.finish.dtype
            )
            extent = across if high == 1 else high
            size = min(block, extent)
            whole, rest = divmod(extent, size)
            with script.serial(0, whole) as number:
                self.part(number * size, size)
            if rest:
                self.part(whole * size, rest)
        return mark(builder.get())

    def part(self, first: Any, count: int) -> None:
        """Do some rows, or some pixels of a single row."""
        high, across = self.conv.out
        self.first = (0, first) if high == 1 else (first, 0)
        size = (1, count) if high == 1 else (count, across)
        spans = (
            (outputs - 1) * stride + (taps - 1) * dilation + 1
            for outputs, stride, taps, dilation in zip(
                size,
                self.layout.strides,
                self.layout.kernel,
                self.layout.dilations,
                strict=True,
            )
        )
        prepared = script.alloc_buffer(
            (self.layout.seen, *spans, self.inner), self.dot.element
        )
        self.block(prepared, self.first, size)

    def read(self, block: Any, row: Any, column: Any) -> Any:
        conv, inner = self.conv, self.inner
        i, j = (
            first * stride - pad + at * skip
            for first, stride, pad, at, skip in zip(
                self.first, conv.strides, conv.pads[:2], (row, column), self.skips, strict=True
            )
        )
        value = self.image[block, i, j, tirx.Ramp(0, 1, inner)]
        value = self.dot.read(value, self.source, inner)
        if not any(conv.pads):
            return value
        inside = tirx.all(i >= 0, i < conv.height, j >= 0, j < conv.width)
        zero = tirx.const(self.dot.shift(self.source), self.dot.element)
        return tirx.if_then_else(inside, value, tirx.Broadcast(zero, inner))

    def write(self, value: Any, filters: Any, place: tuple[Any, Any], count: int) -> None:
        lanes = self.lanes
        at = [tirx.floordiv(filters, lanes), *place, tirx.Ramp(0, 1, lanes)]
        script.buffer_store(self.out, value, at)

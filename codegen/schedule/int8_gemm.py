"""Matrix of 8-bit numbers times packed constant matrix: exact sums, rescaled when written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.script.ir_builder import tirx as script

from suture.codegen.schedule.base import Processor, ceil_div, mark
from suture.codegen.schedule.dot import DOTS, Finish, Integers, dots, tile_cycles
from suture.codegen.schedule.gemm import GemmShape
from suture.codegen.schedule.int8_tile import (
    PREPARED_BYTES,
    Int8Kernel,
    Layout,
    Packed,
    pack_filters,
)

MOST_ROWS = 14
MOST_WIDE = 6
MOST_PADDING = 1.125
"""Most that a tile may add to the packed weights, which weigh in the package."""


@dataclass(frozen=True, kw_only=True)
class Int8GemmShape:
    """A product of quantised numbers.

    Attributes:
        gemm: Its sizes.
        source: How the left matrix is quantised.
        mild: Whether two products of neighbours in depth fit into 16 bits.
    """

    gemm: GemmShape
    source: Integers
    mild: bool


@dataclass(frozen=True)
class Int8Gemm:
    """A tile of accumulators.

    Attributes:
        rows: Rows of a tile.
        columns: Columns of a tile, a multiple of the lanes.
        block: Rows that are prepared at once.
        dot: How products are added up, by name.
    """

    name: ClassVar[str] = "int8-gemm"
    rows: int
    columns: int
    block: int
    dot: str

    @classmethod
    def space(cls, shape: Int8GemmShape, processor: Processor) -> tuple[Int8Gemm, ...]:
        """Return every legal tile, the most promising first by formula."""
        lanes, gemm = processor.lanes, shape.gemm
        least = ceil_div(gemm.columns, lanes) * lanes
        depth = ceil_div(gemm.depth, lanes) * lanes
        costs = {}
        for dot in dots(processor, mild=shape.mild):
            for wide in range(1, MOST_WIDE + 1):
                padded = ceil_div(gemm.columns, wide * lanes) * wide * lanes
                if padded > MOST_PADDING * least:
                    continue
                for rows in range(1, min(MOST_ROWS, gemm.rows) + 1):
                    cycles = tile_cycles(rows, wide, dot, processor)
                    if not np.isfinite(cycles):
                        continue
                    whole, tail = divmod(gemm.rows, rows)
                    cycles *= whole
                    if tail:
                        cycles += tile_cycles(tail, wide, dot, processor)
                    most = PREPARED_BYTES // (depth * (2 if dot.centred else 1) * rows)
                    block = min(max(1, most) * rows, gemm.rows)
                    costs[cls(rows, wide * lanes, block, dot.name)] = cycles * padded / wide
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def pack(
        self, weights: npt.NDArray[np.int8], shape: Int8GemmShape, processor: Processor
    ) -> Packed:
        """Return weights ``(depth, columns)`` as the kernel reads them."""
        return pack_filters(
            weights.T[:, :, None, None],
            self.columns,
            source=shape.source,
            dot=DOTS[self.dot],
            processor=processor,
        )

    def kernel(
        self, shape: Int8GemmShape, finish: Finish, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        Left matrix, weights, start if any, scale and bias ``(columns in whole tiles,)``,
        output.
        """
        layout = Layout(
            seen=ceil_div(shape.gemm.depth, processor.lanes),
            channels=shape.gemm.depth,
            kernel=(1, 1),
            strides=(1, 1),
            dilations=(1, 1),
            rows=self.rows,
            columns=self.columns,
            tiles=ceil_div(shape.gemm.columns, self.columns),
        )
        kernel = _Kernel(
            layout, shape.source, dot=DOTS[self.dot], finish=finish, processor=processor
        )
        return kernel.build(shape.gemm, self.block)


class _Kernel(Int8Kernel):
    """A product in the making."""

    def build(self, gemm: GemmShape, block: int) -> tvm.tirx.PrimFunc:
        self.gemm = gemm
        with IRBuilder() as builder, script.prim_func(s_tir=True):
            script.func_name("main")
            self.left = self.argument("left", gemm.rows, gemm.depth, dtype=self.source.dtype)
            self.constants()
            self.out = self.argument(
                "result", gemm.rows, gemm.columns, dtype=self.finish.dtype
            )
            size = min(block, gemm.rows)
            whole, rest = divmod(gemm.rows, size)
            with script.serial(0, whole) as number:
                self.part(number * size, size)
            if rest:
                self.part(whole * size, rest)
        return mark(builder.get())

    @property
    def kept(self) -> int:
        return self.gemm.columns - (self.layout.tiles - 1) * self.layout.columns

    @property
    def whole(self) -> int:
        return self.gemm.depth // self.inner

    def part(self, first: Any, count: int) -> None:
        """Do some rows."""
        self.first = first
        prepared = script.alloc_buffer(
            (self.layout.seen, 1, count, self.inner), self.dot.element
        )
        self.block(prepared, (0, first), (1, count))

    def prepare(self, prepared: Any) -> None:
        super().prepare(prepared)
        begin = self.whole * self.inner
        zero = tirx.const(0, self.dot.element)
        with script.serial(0, int(prepared.shape[2])) as row:
            for lane in range(self.inner if begin < self.gemm.depth else 0):
                value = zero
                if begin + lane < self.gemm.depth:
                    left = self.left[self.first + row, begin + lane]
                    value = self.dot.read(left, self.source, 1)
                script.buffer_store(prepared, value, [self.whole, 0, row, lane])

    def read(self, block: Any, row: Any, column: Any) -> Any:
        inner = self.inner
        at = tirx.Ramp(block * inner, 1, inner)
        return self.dot.read(self.left[self.first + column, at], self.source, inner)

    def write(self, value: Any, filters: Any, place: tuple[Any, Any], count: int) -> None:
        lanes = self.lanes
        if count == lanes:
            script.buffer_store(self.out, value, [place[1], tirx.Ramp(filters, 1, lanes)])
            return
        script.buffer_store(self.edge, value, [tirx.Ramp(0, 1, lanes)])
        for lane in range(count):
            script.buffer_store(self.out, self.edge[lane], [place[1], filters + lane])

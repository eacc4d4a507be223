"""Matrix times packed constant matrix, any number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te, tirx

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, efficiency, finished

UNROLL = 4
MOST_ROWS = 16
MOST_WIDE = 6
MOST_PADDING = 1.125
"""Most that a tile may add to the packed weights, which weigh in the package."""


@dataclass(frozen=True, kw_only=True)
class GemmShape:
    """``(rows, depth)`` times ``(depth, columns)``."""

    rows: int
    depth: int
    columns: int


@dataclass(frozen=True)
class Gemm:
    """A tile of accumulators.

    Attributes:
        rows: Rows of a tile.
        columns: Columns of a tile, a multiple of the lanes.
    """

    name: ClassVar[str] = "gemm"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: GemmShape, processor: Processor) -> tuple[Gemm, ...]:
        """Return every legal tile, the most promising first by formula.

        Of one row, each weight is used once and memory decides: the wider, the better.
        """
        costs = {}
        least = ceil_div(shape.columns, processor.lanes) * processor.lanes
        for wide in range(1, MOST_WIDE + 1):
            columns = wide * processor.lanes
            if ceil_div(shape.columns, columns) * columns > MOST_PADDING * least:
                continue
            for rows in range(1, min(MOST_ROWS, shape.rows) + 1):
                best = efficiency(rows, wide, processor)
                if best:
                    waste = ceil_div(shape.rows, rows) * rows / shape.rows
                    waste *= ceil_div(shape.columns, columns) * columns / shape.columns
                    costs[cls(rows, columns)] = waste / best
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def pack(
        self, weights: npt.NDArray[np.float32], shape: GemmShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(depth, columns)`` as the kernel reads them."""
        tiles = ceil_div(shape.columns, self.columns)
        whole = np.zeros((shape.depth, tiles * self.columns), np.float32)
        whole[:, : shape.columns] = weights
        blocks = whole.reshape(shape.depth, tiles, self.columns)
        return np.ascontiguousarray(blocks.transpose(1, 0, 2))

    def kernel(
        self, shape: GemmShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, weights, bias and residual if any, output."""
        schedule = s_tir.Schedule(self._compute(shape, epilogue))
        self._schedule(schedule, shape, processor)
        return finished(schedule)

    def _compute(self, shape: GemmShape, epilogue: Epilogue) -> Any:
        tiles = ceil_div(shape.columns, self.columns)
        tall = ceil_div(shape.rows, self.rows) * self.rows
        left = te.placeholder((shape.rows, shape.depth), name="left")
        right = te.placeholder((tiles, shape.depth, self.columns), name="right")
        source = left
        if tall > shape.rows:
            source = te.compute(
                (tall, shape.depth),
                lambda i, k: tirx.if_then_else(
                    i < shape.rows, left[i, k], tirx.const(0.0, "float32")
                ),
                name="padded",
            )
        k = te.reduce_axis((0, shape.depth), "k")
        sums = te.compute(
            (tiles, tall, self.columns),
            lambda o, i, v: te.sum(source[i, k] * right[o, k, v], axis=k),
            name="sums",
        )
        extra, bias, residual = epilogue.tensors((shape.columns,), (shape.rows, shape.columns))
        result = te.compute(
            (shape.rows, shape.columns),
            lambda i, j: epilogue.apply(
                sums[j // self.columns, i, j % self.columns],
                lambda: bias(j),
                lambda: residual(i, j),
            ),
            name="result",
        )
        return te.create_prim_func([left, right, *extra, result])

    def _schedule(self, schedule: Any, shape: GemmShape, processor: Processor) -> None:
        sums = schedule.get_sblock("sums")
        written = schedule.cache_write(sums, 0, "local")
        o, i, v, k = schedule.get_loops(sums)
        run, row = schedule.split(i, [None, self.rows])
        wide, lane = schedule.split(v, [None, processor.lanes])
        unrolled = UNROLL if shape.depth % UNROLL == 0 else 1
        outer, inner = schedule.split(k, [None, unrolled])
        schedule.reorder(o, run, outer, inner, row, wide, lane)
        schedule.reverse_compute_at(written, run, preserve_unit_loops=True)
        schedule.vectorize(lane)
        for loop in (wide, row, inner):
            schedule.unroll(loop)
        row, column = schedule.get_loops(written)[-2:]
        wide, lane = schedule.split(column, [None, processor.lanes])
        schedule.vectorize(lane)
        for loop in (row, wide):
            schedule.unroll(loop)
        # Vectorising asks for a whole reduction block: this comes last.
        schedule.decompose_reduction(sums, outer)

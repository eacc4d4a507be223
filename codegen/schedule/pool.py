"""Largest and mean values of windows, over channels in blocks of one vector."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import s_tir, te, tirx

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, finished
from suture.codegen.schedule.windows import (
    keep_rows_in_registers,
    tile_rows,
    within_borders,
)


@dataclass(frozen=True, kw_only=True)
class PoolShape:
    """A pool of one image, all sizes fixed.

    Attributes:
        channels: Input and output channels.
        height: Input rows.
        width: Input columns.
        kernel: Rows and columns of a window.
        strides: As in ONNX.
        pads: Rows above, columns left, rows below, columns right.
        mean: Whether it is the mean of a window rather than its largest value.
        counts_pads: Whether a mean counts what lies beyond the image, as zeros.
    """

    channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    mean: bool = False
    counts_pads: bool = False

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns of a window."""
        return self.kernel

    @property
    def out(self) -> tuple[int, int]:
        """Output rows and columns."""
        top, left, bottom, right = self.pads
        return (
            (self.height + top + bottom - self.kernel[0]) // self.strides[0] + 1,
            (self.width + left + right - self.kernel[1]) // self.strides[1] + 1,
        )


@dataclass(frozen=True)
class Pool:
    """A row of accumulators, one vector of channels wide.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
    """

    name: ClassVar[str] = "pool"
    rows: int

    @classmethod
    def space(cls, shape: PoolShape, processor: Processor) -> tuple[Pool, ...]:
        """Return every legal tile, the most promising first by formula."""
        return tuple(map(cls, tile_rows(shape, processor)))

    def kernel(
        self, shape: PoolShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, output. It takes no bias and no residual."""
        lanes, (out_h, out_w) = processor.lanes, shape.out
        blocks = ceil_div(shape.channels, lanes)
        wide = ceil_div(out_w, self.rows) * self.rows
        image = te.placeholder((blocks, shape.height, shape.width, lanes), name="image")
        read = within_borders(image, shape, wide, 0.0 if shape.mean else -math.inf)
        y = te.reduce_axis((0, shape.kernel[0]), "y")
        x = te.reduce_axis((0, shape.kernel[1]), "x")
        gather = te.sum if shape.mean else _largest
        sums = te.compute(
            (blocks, out_h, wide, lanes),
            lambda c, i, j, v: gather(
                read(c, i * shape.strides[0] + y, j * shape.strides[1] + x, v), axis=[y, x]
            ),
            name="sums",
        )

        def finish(c: Any, i: Any, j: Any, v: Any) -> Any:
            value = sums[c, i, j, v]
            if shape.mean:
                value = value / _counted(shape, i, j)
            return epilogue.apply(value, None, None)

        result = te.compute((blocks, out_h, out_w, lanes), finish, name="result")
        schedule = s_tir.Schedule(te.create_prim_func([image, result]))
        keep_rows_in_registers(schedule, shape, self.rows)
        return finished(schedule)


_largest = te.comm_reducer(
    lambda most, value: te.max(most, value),
    lambda dtype: tirx.const(-math.inf, dtype),
    name="largest",
)


def _counted(shape: PoolShape, i: Any, j: Any) -> Any:
    """Return over how many numbers a mean goes.

    Within the image that is all of a window; TVM splits the loops where it is fewer.
    """
    whole = tirx.const(float(math.prod(shape.kernel)), "float32")
    if shape.counts_pads or not any(shape.pads):
        return whole
    sizes = (shape.height, shape.width)
    asked, counts = [], []
    for axis, place in enumerate((i, j)):
        start = place * shape.strides[axis] - shape.pads[axis]
        end = start + shape.kernel[axis]
        asked += [tirx.likely(start >= 0), tirx.likely(end <= sizes[axis])]
        counts.append(te.min(end, sizes[axis]) - te.max(start, 0))
    fewer = (counts[0] * counts[1]).astype("float32")
    return tirx.if_then_else(tirx.all(*asked), whole, fewer)

"""Depthwise convolution over channels in blocks of one vector.

The image is read where it lies. Whether a tap falls beyond its border is asked only in the
tiles along the border: TVM splits the loops there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te, tirx

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, finished
from suture.codegen.schedule.conv import ConvShape


@dataclass(frozen=True)
class DepthwiseConv:
    """A row of accumulators, one vector of channels wide.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
    """

    name: ClassVar[str] = "depthwise-conv"
    rows: int

    @classmethod
    def space(cls, shape: ConvShape, processor: Processor) -> tuple[DepthwiseConv, ...]:
        """Return every legal tile, the most promising first by formula.

        Each multiply-add loads its own pixel and little depends on how many sums a tile has:
        tiles overlap as the processor reorders them.
        """
        pixels = shape.out[1]
        tiles = [cls(rows) for rows in range(1, min(processor.registers // 2, pixels) + 1)]

        def cost(tile: DepthwiseConv) -> float:
            waste = ceil_div(pixels, tile.rows) * tile.rows / pixels
            return waste * (1 + 0.15 / tile.rows)

        return tuple(sorted(tiles, key=cost))

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(channels, 1, kh, kw)`` as the kernel reads them."""
        blocks = ceil_div(shape.channels, processor.lanes)
        whole = np.zeros((blocks * processor.lanes, *shape.kernel), np.float32)
        whole[: shape.channels] = weights[:, 0]
        tiles = whole.reshape(blocks, processor.lanes, *shape.kernel)
        return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1))

    def kernel(
        self, shape: ConvShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, weights, bias and residual if any, output."""
        schedule = s_tir.Schedule(self._compute(shape, epilogue, processor))
        self._schedule(schedule)
        return finished(schedule)

    def _compute(self, shape: ConvShape, epilogue: Epilogue, processor: Processor) -> Any:
        lanes, (out_h, out_w), (kh, kw) = processor.lanes, shape.out, shape.kernel
        blocks = ceil_div(shape.channels, lanes)
        wide = ceil_div(out_w, self.rows) * self.rows
        image = te.placeholder((blocks, shape.height, shape.width, lanes), name="image")
        weights = te.placeholder((blocks, kh, kw, lanes), name="weights")
        read = _within_borders(image, shape, wide)
        y, x = te.reduce_axis((0, kh), "y"), te.reduce_axis((0, kw), "x")
        (down, across), (dy, dx) = shape.strides, shape.dilations
        sums = te.compute(
            (blocks, out_h, wide, lanes),
            lambda c, i, j, v: te.sum(
                read(c, i * down + y * dy, j * across + x * dx, v) * weights[c, y, x, v],
                axis=[y, x],
            ),
            name="sums",
        )
        extra, bias, residual = epilogue.tensors(
            (blocks * lanes,), (blocks, out_h, out_w, lanes)
        )
        result = te.compute(
            (blocks, out_h, out_w, lanes),
            lambda c, i, j, v: epilogue.apply(
                sums[c, i, j, v], lambda: bias(c * lanes + v), lambda: residual(c, i, j, v)
            ),
            name="result",
        )
        return te.create_prim_func([image, weights, *extra, result])

    def _schedule(self, schedule: Any) -> None:
        sums, result = schedule.get_sblock("sums"), schedule.get_sblock("result")
        _, i, j, v = schedule.get_loops(result)
        run, pixel = schedule.split(j, [None, self.rows])
        schedule.compute_at(sums, run, preserve_unit_loops=True)
        schedule.set_scope(sums, 0, "local")
        for loop in (i, run):
            schedule.annotate(loop, "pragma_loop_partition_hint", True)
        block, line, j, lane, y, x = schedule.get_loops(sums)[3:]
        schedule.reorder(y, x, block, line, j, lane)
        for loop in (y, x, j, pixel):
            schedule.unroll(loop)
        for loop in (lane, v):
            schedule.vectorize(loop)
        # Vectorising asks for a whole reduction block: this comes last.
        schedule.decompose_reduction(sums, y)


def _within_borders(image: Any, shape: ConvShape, wide: int) -> Any:
    """Return how to read the image at a place of the padded one, 0 beyond its borders.

    Args:
        image: Channels in blocks.
        shape: The convolution.
        wide: Output columns that the tiles cover.
    """
    top, left = shape.pads[:2]
    below = (shape.out[0] - 1) * shape.strides[0] + shape.reach[0] - top > shape.height
    right = (wide - 1) * shape.strides[1] + shape.reach[1] - left > shape.width

    def read(c: Any, y: Any, x: Any, v: Any) -> Any:
        row, column = y - top, x - left
        asked = (
            (top > 0, row >= 0),
            (below, row < shape.height),
            (left > 0, column >= 0),
            (right, column < shape.width),
        )
        inside = [tirx.likely(condition) for needed, condition in asked if needed]
        value = image[c, row, column, v]
        zero = tirx.const(0.0, "float32")
        return tirx.if_then_else(tirx.all(*inside), value, zero) if inside else value

    return read

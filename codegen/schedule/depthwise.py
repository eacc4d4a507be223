"""Depthwise convolution over channels in blocks of one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, finished
from suture.codegen.schedule.conv import ConvShape, needs_padding, padded_image

MOST_ROWS = 28


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

        Each multiply-add loads its own pixel, so eight sums hide the latency and more rows
        only spread the loads of the taps.
        """
        pixels, most = shape.out[1], min(MOST_ROWS, processor.registers - 3)
        tiles = [cls(rows) for rows in range(1, min(most, pixels) + 1)]

        def cost(tile: DepthwiseConv) -> tuple[float, int]:
            waste = ceil_div(pixels, tile.rows) * tile.rows / pixels
            return waste / min(1.0, tile.rows / 8), -tile.rows

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
        self._schedule(schedule, shape)
        return finished(schedule)

    def _compute(self, shape: ConvShape, epilogue: Epilogue, processor: Processor) -> Any:
        lanes, (out_h, out_w), (kh, kw) = processor.lanes, shape.out, shape.kernel
        blocks = ceil_div(shape.channels, lanes)
        wide = ceil_div(out_w, self.rows) * self.rows
        image = te.placeholder((blocks, shape.height, shape.width, lanes), name="image")
        weights = te.placeholder((blocks, kh, kw, lanes), name="weights")
        read = padded_image(image, shape, wide, blocks, lanes)
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

    def _schedule(self, schedule: Any, shape: ConvShape) -> None:
        sums, result = schedule.get_sblock("sums"), schedule.get_sblock("result")
        c, _, j, v = schedule.get_loops(result)
        run, pixel = schedule.split(j, [None, self.rows])
        schedule.compute_at(sums, run, preserve_unit_loops=True)
        schedule.set_scope(sums, 0, "local")
        block, i, j, lane, y, x = schedule.get_loops(sums)[3:]
        schedule.reorder(y, x, block, i, j, lane)
        for loop in (y, x, j, pixel):
            schedule.unroll(loop)
        for loop in (lane, v):
            schedule.vectorize(loop)
        if needs_padding(shape, self.rows):
            padded = schedule.get_sblock("padded")
            schedule.compute_at(padded, c, preserve_unit_loops=True)
            schedule.vectorize(schedule.get_loops(padded)[-1])
        # Vectorising asks for a whole reduction block: this comes last.
        schedule.decompose_reduction(sums, y)

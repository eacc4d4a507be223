"""Depthwise convolution over channels in blocks of one vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, finished
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.windows import (
    keep_rows_in_registers,
    tile_rows,
    within_borders,
)


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
        """Return every legal tile, the most promising first by formula."""
        return tuple(map(cls, tile_rows(shape, processor)))

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(channels, 1, kh, kw)`` as the kernel reads them."""
        return pack_taps(weights, processor.lanes)

    def kernel(
        self, shape: ConvShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, weights, bias and residual if any, output."""
        schedule = s_tir.Schedule(self._compute(shape, epilogue, processor))
        keep_rows_in_registers(schedule, shape, self.rows)
        return finished(schedule)

    def _compute(self, shape: ConvShape, epilogue: Epilogue, processor: Processor) -> Any:
        lanes, (out_h, out_w) = processor.lanes, shape.out
        blocks = ceil_div(shape.channels, lanes)
        image = te.placeholder((blocks, shape.height, shape.width, lanes), name="image")
        weights = te.placeholder((blocks, *shape.kernel, lanes), name="weights")
        sums = window_sums(image, weights, shape, self.rows)
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


Number = TypeVar("Number", np.float32, np.int8)


def pack_taps(weights: npt.NDArray[Number], lanes: int) -> npt.NDArray[Number]:
    """Return weights ``(channels, 1, height, width)`` in blocks of channels, lanes last."""
    channels, _, *kernel = weights.shape
    blocks = ceil_div(channels, lanes)
    whole = np.zeros((blocks * lanes, *kernel), weights.dtype)
    whole[:channels] = weights[:, 0]
    tiles = whole.reshape(blocks, lanes, *kernel)
    return np.ascontiguousarray(tiles.transpose(0, 2, 3, 1))


def window_sums(image: Any, weights: Any, shape: ConvShape, rows: int) -> Any:
    """Return the sums of a depthwise convolution, as the block ``sums``.

    Args:
        image: float32, ``(blocks, height, width, lanes)``.
        weights: float32, ``(blocks, height, width, lanes)``.
        shape: The convolution.
        rows: Output pixels of a tile, of which each row has whole ones.
    """
    blocks, *_, lanes = image.shape
    wide = ceil_div(shape.out[1], rows) * rows
    read = within_borders(image, shape, wide)
    y, x = te.reduce_axis((0, shape.kernel[0]), "y"), te.reduce_axis((0, shape.kernel[1]), "x")
    (down, across), (dy, dx) = shape.strides, shape.dilations
    return te.compute(
        (blocks, shape.out[0], wide, lanes),
        lambda c, i, j, v: te.sum(
            read(c, i * down + y * dy, j * across + x * dx, v) * weights[c, y, x, v],
            axis=[y, x],
        ),
        name="sums",
    )

"""Depthwise convolution of 8-bit numbers over channels in blocks of one vector.

Sums are added up in float32, which holds them exactly where there are at most
``passes.recognise.integer.MOST_TAPS``: a multiply-add of floats is one instruction, one of
integers of 32 bits is three.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te

from suture.codegen.schedule.base import Processor, ceil_div, finished
from suture.codegen.schedule.depthwise import pack_taps, window_sums
from suture.codegen.schedule.dot import Finish
from suture.codegen.schedule.int8_conv import Int8ConvShape
from suture.codegen.schedule.int8_tile import Packed
from suture.codegen.schedule.windows import keep_rows_in_registers, tile_rows


@dataclass(frozen=True)
class Int8Depthwise:
    """A row of accumulators, one vector of channels wide.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
    """

    name: ClassVar[str] = "int8-depthwise"
    rows: int

    @classmethod
    def space(cls, shape: Int8ConvShape, processor: Processor) -> tuple[Int8Depthwise, ...]:
        """Return every legal tile, the most promising first by formula."""
        return tuple(map(cls, tile_rows(shape.conv, processor)))

    def pack(
        self, weights: npt.NDArray[np.int8], shape: Int8ConvShape, processor: Processor
    ) -> Packed:
        """Return weights ``(channels, 1, height, width)`` as the kernel reads them."""
        return Packed(weights=pack_taps(weights, processor.lanes), start=None)

    def kernel(
        self, shape: Int8ConvShape, finish: Finish, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        Image ``(blocks, height, width, lanes)``, weights, scale and bias
        ``(channels in whole blocks,)``, output like the image.
        """
        conv, lanes, zero = shape.conv, processor.lanes, shape.source.zero
        blocks = ceil_div(conv.channels, lanes)
        image = te.placeholder(
            (blocks, conv.height, conv.width, lanes), shape.source.dtype, name="image"
        )
        taps = te.placeholder((blocks, *conv.kernel, lanes), "int8", name="weights")
        scale, bias = (te.placeholder((blocks * lanes,), name=n) for n in ("scale", "bias"))

        def centred(*at: Any) -> Any:
            return (image(*at).astype("int32") - zero).astype("float32")

        pixels = te.compute(image.shape, centred, name="pixels")
        weights = te.compute(taps.shape, lambda *at: taps(*at).astype("float32"), name="taps")
        sums = window_sums(pixels, weights, conv, self.rows)

        def finished_sum(c: Any, i: Any, j: Any, v: Any) -> Any:
            value = sums[c, i, j, v] * scale[c * lanes + v] + bias[c * lanes + v]
            return finish.apply(value, 1)

        result = te.compute((blocks, *conv.out, lanes), finished_sum, name="result")
        schedule = s_tir.Schedule(te.create_prim_func([image, taps, scale, bias, result]))
        for name in ("pixels", "taps"):
            schedule.compute_inline(schedule.get_sblock(name))
        keep_rows_in_registers(schedule, conv, self.rows)
        return finished(schedule)

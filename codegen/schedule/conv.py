"""Direct convolution over channels in blocks of one vector.

Activations are ``(channels / lanes, height, width, lanes)``, weights are packed so that a
tile of filters is contiguous for each input channel and tap. A tile of ``rows`` output pixels
by ``columns`` filters stays in registers until its sums are complete
(after Georganas et al., SC 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import s_tir, te, tirx

from suture.codegen.schedule.base import (
    BYTES_A_CYCLE,
    Epilogue,
    Processor,
    ceil_div,
    efficiency,
    finished,
)

UNROLL = 4
MOST_ROWS = 28
MOST_WIDE = 4


@dataclass(frozen=True, kw_only=True)
class ConvShape:
    """A convolution of one image, all sizes fixed.

    Attributes:
        channels: Input channels.
        height: Input rows.
        width: Input columns.
        filters: Output channels.
        kernel: Taps, ``(height, width)``.
        strides: As in ONNX.
        pads: Rows above, columns left, rows below, columns right.
        dilations: As in ONNX.
        groups: Parts of the channels that do not see each other; each is whole blocks.
        plain: Whether the input is ``(1, channels, height, width)`` rather than blocked.
    """

    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    plain: bool = False

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns that the taps of one output span."""
        return (
            (self.kernel[0] - 1) * self.dilations[0] + 1,
            (self.kernel[1] - 1) * self.dilations[1] + 1,
        )

    @property
    def out(self) -> tuple[int, int]:
        """Output rows and columns."""
        top, left, bottom, right = self.pads
        return (
            (self.height + top + bottom - self.reach[0]) // self.strides[0] + 1,
            (self.width + left + right - self.reach[1]) // self.strides[1] + 1,
        )

    @property
    def pointwise(self) -> bool:
        """Whether the image may be taken as one long row of pixels."""
        return self.kernel == self.strides == (1, 1) and not any(self.pads) and not self.plain

    def flattened(self) -> ConvShape:
        """Return a pointwise convolution over one long row."""
        return ConvShape(
            channels=self.channels,
            height=1,
            width=self.height * self.width,
            filters=self.filters,
            kernel=(1, 1),
            groups=self.groups,
        )


def holds_groups(channels: int, filters: int, groups: int, processor: Processor) -> bool:
    """Whether each group of channels and of filters is whole blocks."""
    whole = groups * processor.lanes
    return groups == 1 or (channels % whole == 0 and filters % whole == 0)


@dataclass(frozen=True)
class DirectConv:
    """A tile of accumulators.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
        columns: Filters of a tile, a multiple of the lanes that divides the padded filters.
    """

    name: ClassVar[str] = "direct-conv"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: ConvShape, processor: Processor) -> tuple[DirectConv, ...]:
        """Return every legal tile, the most promising first by formula."""
        pixels = shape.out[1]
        padded = ceil_div(shape.filters, processor.lanes) * processor.lanes // shape.groups
        costs = {}
        for wide in range(1, MOST_WIDE + 1):
            if padded % (wide * processor.lanes):
                continue
            for rows in range(1, min(MOST_ROWS, pixels) + 1):
                best = efficiency(rows, wide, processor)
                if best:
                    waste = ceil_div(pixels, rows) * rows / pixels
                    costs[cls(rows, wide * processor.lanes)] = waste / best
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def cycles(self, shape: ConvShape, processor: Processor) -> float:
        """Return about how many cycles the kernel takes on one core, weights being cold."""
        deep = 1 if shape.plain else processor.lanes
        seen = ceil_div(shape.channels // shape.groups, deep) * deep
        pixels = shape.out[0] * ceil_div(shape.out[1], self.rows) * self.rows
        steps = pixels * ceil_div(shape.filters, processor.lanes) * seen
        steps *= math.prod(shape.kernel)
        reached = efficiency(self.rows, self.columns // processor.lanes, processor)
        return max(steps / 2 / reached, self.packed_bytes(shape, processor) / BYTES_A_CYCLE)

    def packed_bytes(self, shape: ConvShape, processor: Processor) -> int:
        """Return the size of the packed weights."""
        lanes = 1 if shape.plain else processor.lanes
        filters = ceil_div(shape.filters, processor.lanes) * processor.lanes
        channels = ceil_div(shape.channels // shape.groups, lanes) * lanes
        return 4 * filters * channels * math.prod(shape.kernel)

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(filters, channels / groups, kh, kw)`` as the kernel reads them."""
        lanes = 1 if shape.plain else processor.lanes
        filters = ceil_div(shape.filters, processor.lanes) * processor.lanes
        channels = ceil_div(shape.channels // shape.groups, lanes) * lanes
        whole = np.zeros((filters, channels, *shape.kernel), np.float32)
        whole[: shape.filters, : shape.channels // shape.groups] = weights
        blocks = whole.reshape(
            filters // self.columns, self.columns, channels // lanes, lanes, *shape.kernel
        )
        return np.ascontiguousarray(blocks.transpose(0, 2, 4, 5, 3, 1))

    def kernel(
        self, shape: ConvShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, weights, bias and residual if any, output."""
        schedule = s_tir.Schedule(self._compute(shape, epilogue, processor))
        self._schedule(schedule, shape, processor)
        return finished(schedule)

    def _compute(self, shape: ConvShape, epilogue: Epilogue, processor: Processor) -> Any:
        lanes = processor.lanes
        deep = 1 if shape.plain else lanes
        blocks = ceil_div(shape.channels, deep)
        (out_h, out_w), (kh, kw) = shape.out, shape.kernel
        filter_blocks = ceil_div(shape.filters, lanes)
        wide = ceil_div(out_w, self.rows) * self.rows
        given = (
            (1, shape.channels, shape.height, shape.width)
            if shape.plain
            else (blocks, shape.height, shape.width, lanes)
        )
        image = te.placeholder(given, name="image")
        seen = blocks // shape.groups
        tiles = (filter_blocks * lanes // self.columns, seen, kh, kw, deep, self.columns)
        weights = te.placeholder(tiles, name="weights")
        read = padded_image(image, shape, wide, blocks, deep)
        c = te.reduce_axis((0, seen), "c")
        tiles_of_group = tiles[0] // shape.groups
        y, x = te.reduce_axis((0, kh), "y"), te.reduce_axis((0, kw), "x")
        d = te.reduce_axis((0, deep), "d")
        (down, across), (dy, dx) = shape.strides, shape.dilations
        sums = te.compute(
            (tiles[0], out_h, wide, self.columns),
            lambda o, i, j, v: te.sum(
                read(
                    o // tiles_of_group * seen + c,
                    i * down + y * dy,
                    j * across + x * dx,
                    d,
                )
                * weights[o, c, y, x, d, v],
                axis=[c, y, x, d],
            ),
            name="sums",
        )
        extra, bias, residual = epilogue.tensors(
            (filter_blocks * lanes,), (filter_blocks, out_h, out_w, lanes)
        )

        def finish(o: Any, i: Any, j: Any, v: Any) -> Any:
            at = o * lanes + v
            value = sums[at // self.columns, i, j, at % self.columns]
            return epilogue.apply(value, lambda: bias(at), lambda: residual(o, i, j, v))

        result = te.compute((filter_blocks, out_h, out_w, lanes), finish, name="result")
        return te.create_prim_func([image, weights, *extra, result])

    def _schedule(self, schedule: Any, shape: ConvShape, processor: Processor) -> None:
        sums, result = schedule.get_sblock("sums"), schedule.get_sblock("result")
        o, i, j, v = schedule.get_loops(result)
        tile, within = schedule.split(o, [None, self.columns // processor.lanes])
        run, pixel = schedule.split(j, [None, self.rows])
        schedule.reorder(tile, i, run, pixel, within, v)
        schedule.compute_at(sums, run, preserve_unit_loops=True)
        schedule.set_scope(sums, 0, "local")
        o, i, j, v, c, y, x, d = schedule.get_loops(sums)[3:]
        wide, lane = schedule.split(v, [None, processor.lanes])
        if shape.plain:
            schedule.reorder(c, y, x, d, j, o, i, wide, lane)
            schedule.unroll(x)
        else:
            outer, inner = schedule.split(d, [None, min(UNROLL, processor.lanes)])
            schedule.reorder(c, y, x, outer, inner, j, o, i, wide, lane)
            schedule.unroll(inner)
        schedule.vectorize(lane)
        for loop in (wide, j):
            schedule.unroll(loop)
        vector = schedule.get_loops(result)[-1]
        schedule.vectorize(vector)
        for loop in schedule.get_loops(result)[-3:-1]:
            schedule.unroll(loop)
        if needs_padding(shape, self.rows) and not shape.plain:
            schedule.vectorize(schedule.get_loops(schedule.get_sblock("padded"))[-1])
        # Vectorising asks for a whole reduction block: this comes last.
        schedule.decompose_reduction(sums, c)


def needs_padding(shape: ConvShape, rows: int) -> bool:
    """Whether a tile reads beyond the image."""
    wide = ceil_div(shape.out[1], rows) * rows
    reach = (wide - 1) * shape.strides[1] + shape.reach[1]
    return any(shape.pads) or reach > shape.width


def padded_image(image: Any, shape: ConvShape, wide: int, blocks: int, deep: int) -> Any:
    """Return how to read the image at a place of the padded one."""

    def read(c: Any, y: Any, x: Any, d: Any) -> Any:
        return image[0, c, y, x] if shape.plain else image[c, y, x, d]

    span = (
        (shape.out[0] - 1) * shape.strides[0] + shape.reach[0],
        (wide - 1) * shape.strides[1] + shape.reach[1],
    )
    if not any(shape.pads) and span[1] <= shape.width:
        return read
    top, left = shape.pads[:2]
    padded = te.compute(
        (blocks, *span, deep),
        lambda c, y, x, d: tirx.if_then_else(
            tirx.all(y >= top, y < shape.height + top, x >= left, x < shape.width + left),
            read(c, y - top, x - left, d),
            tirx.const(0.0, "float32"),
        ),
        name="padded",
    )
    return lambda c, y, x, d: padded[c, y, x, d]

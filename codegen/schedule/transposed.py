"""Transposed convolution over channels in blocks of one vector, without a stretched image.

With a stride of ``s``, output rows ``i`` of equal ``(i + pad) mod s`` see the same taps, each
at its own row of the input: a phase of the output is a direct convolution of stride 1. All
``s²`` phases are one kernel, whose tiles write every ``s``-th pixel of the output.
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
    Epilogue,
    Processor,
    ceil_div,
    efficiency,
    finished,
    within,
)
from suture.codegen.schedule.conv import (
    MOST_ROWS,
    MOST_WIDE,
    copied_image,
    keep_in_registers,
    tile_cycles,
)


@dataclass(frozen=True, kw_only=True)
class TransposedShape:
    """A transposed convolution of one image, all sizes fixed, one group, no dilation.

    Attributes:
        channels: Input channels.
        height: Input rows.
        width: Input columns.
        filters: Output channels.
        kernel: Taps, ``(height, width)``.
        strides: As in ONNX.
        pads: Rows cut off above, columns cut off at the left.
        out: Output rows and columns, multiples of the strides.
    """

    channels: int
    height: int
    width: int
    filters: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]
    out: tuple[int, int]

    @property
    def phases(self) -> int:
        """Kinds of output pixels."""
        return math.prod(self.strides)

    @property
    def grid(self) -> tuple[int, int]:
        """Output rows and columns of one phase."""
        return self.out[0] // self.strides[0], self.out[1] // self.strides[1]

    @property
    def taps(self) -> tuple[int, int]:
        """Most taps that a phase has."""
        return (
            ceil_div(self.kernel[0], self.strides[0]),
            ceil_div(self.kernel[1], self.strides[1]),
        )

    @property
    def before(self) -> tuple[int, int]:
        """Rows and columns of zeros that taps read before the image.

        One more where phases have unequal numbers of taps, for those that a phase lacks.
        """
        return (
            self.taps[0] - 1 + (self.kernel[0] % self.strides[0] > 0),
            self.taps[1] - 1 + (self.kernel[1] % self.strides[1] > 0),
        )

    def offset(self, phase: Any, axis: int) -> Any:
        """Return how far ahead of its place in the grid a phase's first tap reads."""
        return (phase + self.pads[axis]) // self.strides[axis]

    def first(self, phase: Any, axis: int) -> Any:
        """Return a phase's first tap; the others follow by strides."""
        return (phase + self.pads[axis]) % self.strides[axis]

    def seen(self, place: Any, phase: Any, tap: Any, axis: int) -> Any:
        """Return the row or column under a tap of a phase at a place of the grid.

        A tap that the phase lacks sees only zeros, so that no infinity meets its weight.
        """
        at = place + self.offset(phase, axis) - tap
        if self.kernel[axis] % self.strides[axis] == 0:
            return at
        exists = self.first(phase, axis) + tap * self.strides[axis] < self.kernel[axis]
        return tirx.Select(exists, at, -self.before[axis])


@dataclass(frozen=True)
class TransposedConv:
    """A tile of accumulators.

    Attributes:
        rows: Output pixels of one phase in a tile, counted through the whole phase.
        columns: Filters of a tile, a multiple of the lanes.
    """

    name: ClassVar[str] = "transposed-conv"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: TransposedShape, processor: Processor) -> tuple[TransposedConv, ...]:
        """Return every legal tile, the most promising first by formula."""
        blocks = ceil_div(shape.filters, processor.lanes)
        tiles = [
            cls(rows, wide * processor.lanes)
            for wide in range(1, min(MOST_WIDE, blocks) + 1)
            for rows in range(1, min(MOST_ROWS, math.prod(shape.grid)) + 1)
            if efficiency(rows, wide, processor)
        ]
        costs = {tile: tile.cycles(shape, processor) for tile in tiles}
        return tuple(sorted(tiles, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def cycles(self, shape: TransposedShape, processor: Processor) -> float:
        """Return about how many cycles the kernel takes on one core."""
        runs = ceil_div(math.prod(shape.grid), self.rows)
        tiles = shape.phases * runs * ceil_div(shape.filters, self.columns)
        return tiles * tile_cycles(
            self.rows,
            self.columns // processor.lanes,
            processor,
            steps=shape.channels * math.prod(shape.taps),
            crosses=shape.grid[1] % self.rows != 0,
        )

    def pack(
        self, weights: npt.NDArray[np.float32], shape: TransposedShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(channels, filters, kh, kw)`` as the kernel reads them.

        A phase with fewer taps than another has zeros for them.
        """
        lanes = processor.lanes
        channels = ceil_div(shape.channels, lanes) * lanes
        filters = ceil_div(shape.filters, self.columns) * self.columns
        whole = np.zeros((*shape.strides, channels, filters, *shape.taps), np.float32)
        for y, x in np.ndindex(*shape.strides):
            down, across = shape.strides
            taps = weights[:, :, shape.first(y, 0) :: down, shape.first(x, 1) :: across]
            whole[
                y, x, : shape.channels, : shape.filters, : taps.shape[2], : taps.shape[3]
            ] = taps
        tiles = whole.reshape(
            shape.phases,
            channels // lanes,
            lanes,
            filters // self.columns,
            self.columns,
            *shape.taps,
        )
        return np.ascontiguousarray(tiles.transpose(0, 3, 1, 5, 6, 2, 4))

    def kernel(
        self, shape: TransposedShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, weights, bias and residual if any, output."""
        schedule = s_tir.Schedule(self._compute(shape, epilogue, processor))
        self._schedule(schedule, shape, processor)
        return finished(schedule)

    def _compute(
        self, shape: TransposedShape, epilogue: Epilogue, processor: Processor
    ) -> Any:
        lanes, (down, across), width = processor.lanes, shape.strides, shape.grid[1]
        blocks, filter_blocks = (
            ceil_div(size, lanes) for size in (shape.channels, shape.filters)
        )
        tiles = ceil_div(filter_blocks * lanes, self.columns)
        pixels = math.prod(shape.grid)
        covered = ceil_div(pixels, self.rows) * self.rows
        image = te.placeholder((blocks, shape.height, shape.width, lanes), name="image")
        weights = te.placeholder(
            (shape.phases, tiles, blocks, *shape.taps, lanes, self.columns), name="weights"
        )
        read = _bordered(image, shape, blocks, lanes)
        c, d = te.reduce_axis((0, blocks), "c"), te.reduce_axis((0, lanes), "d")
        y = te.reduce_axis((0, shape.taps[0]), "y")
        x = te.reduce_axis((0, shape.taps[1]), "x")

        def product(f: Any, o: Any, p: Any, v: Any) -> Any:
            # The last tile repeats the last pixel rather than read beyond the image.
            pixel = p if covered == pixels else te.min(p, pixels - 1)
            row = shape.seen(pixel // width, f // across, y, 0)
            column = shape.seen(pixel % width, f % across, x, 1)
            return te.sum(
                read(c, row, column, d) * weights[f, o, c, y, x, d, v], axis=[c, y, x, d]
            )

        sums = te.compute((shape.phases, tiles, covered, self.columns), product, name="sums")
        extra, bias, residual = epilogue.tensors(
            (filter_blocks * lanes,), (filter_blocks, *shape.out, lanes)
        )

        def finish(f: Any, o: Any, p: Any, v: Any) -> Any:
            at = o * lanes + v
            value = sums[f, at // self.columns, p, at % self.columns]
            value = within(value, at, shape.filters, lanes)
            row, column = p // width * down + f // across, p % width * across + f % across
            return epilogue.apply(value, lambda: bias(at), lambda: residual(o, row, column, v))

        result = te.compute(
            (shape.phases, filter_blocks, pixels, lanes), finish, name="result"
        )
        return te.create_prim_func([image, weights, *extra, result])

    def _schedule(self, schedule: Any, shape: TransposedShape, processor: Processor) -> None:
        (down, across), width = shape.strides, shape.grid[1]
        result = schedule.get_sblock("result")
        f, o, p, v = schedule.get_loops(result)
        tile, within = schedule.split(o, [None, self.columns // processor.lanes])
        run, pixel = schedule.split(p, [None, self.rows])
        schedule.reorder(f, tile, run, pixel, within, v)
        keep_in_registers(schedule, run, processor, plain=False)
        schedule.transform_layout(
            result,
            ("write", 0),
            lambda f, o, p, v: (
                o,
                p // width * down + f // across,
                p % width * across + f % across,
                v,
            ),
        )


def _bordered(image: Any, shape: TransposedShape, blocks: int, lanes: int) -> Any:
    """Return how to read the image at a row and column that may lie beyond it."""
    sizes = (shape.height, shape.width)
    before = shape.before
    after = tuple(
        shape.grid[axis] + shape.offset(shape.strides[axis] - 1, axis) - sizes[axis]
        for axis in (0, 1)
    )
    if not any(before) and max(after) <= 0:
        return lambda *at: image[at]
    span = tuple(sizes[axis] + before[axis] + max(after[axis], 0) for axis in (0, 1))
    copied = copied_image(lambda *at: image[at], sizes, (blocks, *span, lanes), before)
    return lambda c, y, x, d: copied[c, y + before[0], x + before[1], d]

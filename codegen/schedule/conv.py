"""Direct convolution over channels in blocks of one vector.

Activations are ``(channels / lanes, height, width, lanes)``, weights are packed so that a
tile of filters is contiguous for each input channel and tap. A tile of ``rows`` output pixels
by ``columns`` filters stays in registers until its sums are complete
(after Georganas et al., SC 2018). Output pixels are counted through the whole image, so that
a tile may begin in one row and end in the next: nothing is wasted where a row is no whole
number of tiles.
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
    weighed,
    within,
)
from suture.codegen.schedule.conv_shape import ConvShape

UNROLL = 4
MOST_UNROLLED = 25
MOST_ROWS = 28
MOST_WIDE = 4


@dataclass(frozen=True)
class DirectConv:
    """A tile of accumulators.

    Attributes:
        rows: Output pixels of a tile, counted through the whole image.
        columns: Filters of a tile, a multiple of the lanes.
    """

    name: ClassVar[str] = "direct-conv"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: ConvShape, processor: Processor) -> tuple[DirectConv, ...]:
        """Return every legal tile, the most promising first by formula.

        A tile of filters may reach beyond the last one, but not into another group.
        """
        blocks = ceil_div(shape.filters, processor.lanes)
        tiles = [
            cls(rows, wide * processor.lanes)
            for wide in range(1, min(MOST_WIDE, blocks) + 1)
            if shape.groups == 1 or blocks // shape.groups % wide == 0
            for rows in range(1, min(MOST_ROWS, shape.pixels) + 1)
            if efficiency(rows, wide, processor)
        ]
        costs = {tile: tile.busy_cycles(shape, processor) for tile in tiles}
        return tuple(sorted(tiles, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def cycles(self, shape: ConvShape, processor: Processor) -> float:
        """Return about how many cycles the kernel takes on one core, weights being cold."""
        return weighed(self.busy_cycles(shape, processor), self.packed_bytes(shape, processor))

    def busy_cycles(self, shape: ConvShape, processor: Processor) -> float:
        """Return about how many cycles the tiles take on one core."""
        tiles = ceil_div(shape.pixels, self.rows) * ceil_div(shape.filters, self.columns)
        return tiles * tile_cycles(
            self.rows,
            self.columns // processor.lanes,
            processor,
            steps=shape.channels // shape.groups * math.prod(shape.kernel),
            crosses=shape.out[1] % self.rows != 0 and not shape.dense,
        )

    def packed_bytes(self, shape: ConvShape, processor: Processor) -> int:
        """Return the size of the packed weights."""
        lanes = 1 if shape.plain else processor.lanes
        filters = ceil_div(shape.filters, self.columns) * self.columns
        channels = ceil_div(shape.channels // shape.groups, lanes) * lanes
        return 4 * filters * channels * math.prod(shape.kernel)

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(filters, channels / groups, kh, kw)`` as the kernel reads them."""
        lanes = 1 if shape.plain else processor.lanes
        filters = ceil_div(shape.filters, self.columns) * self.columns
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
        seen = blocks // shape.groups
        filter_blocks = ceil_div(shape.filters, lanes)
        tiles = ceil_div(filter_blocks * lanes, self.columns)
        given = (
            (1, shape.channels, shape.height, shape.width)
            if shape.plain
            else (blocks, shape.height, shape.width, lanes)
        )
        image = te.placeholder(given, name="image")
        weights = te.placeholder(
            (tiles, seen, *shape.kernel, deep, self.columns), name="weights"
        )
        read = _taps(image, shape, blocks, deep)
        c, d = te.reduce_axis((0, seen), "c"), te.reduce_axis((0, deep), "d")
        y = te.reduce_axis((0, shape.kernel[0]), "y")
        x = te.reduce_axis((0, shape.kernel[1]), "x")
        covered = ceil_div(shape.pixels, self.rows) * self.rows

        def product(o: Any, p: Any, v: Any) -> Any:
            # The last tile repeats the last pixel rather than read beyond the image.
            pixel = p if covered == shape.pixels else te.min(p, shape.pixels - 1)
            group = o // (tiles // shape.groups)
            return te.sum(
                read(group * seen + c, pixel, y, x, d) * weights[o, c, y, x, d, v],
                axis=[c, y, x, d],
            )

        sums = te.compute((tiles, covered, self.columns), product, name="sums")
        width = shape.out[1]
        extra, bias, residual = epilogue.tensors(
            (filter_blocks * lanes,), (filter_blocks, *shape.out, lanes)
        )

        def finish(o: Any, p: Any, v: Any) -> Any:
            at = o * lanes + v
            value = sums[at // self.columns, p, at % self.columns]
            value = within(value, at, shape.filters, lanes)
            return epilogue.apply(
                value, lambda: bias(at), lambda: residual(o, p // width, p % width, v)
            )

        result = te.compute((filter_blocks, shape.pixels, lanes), finish, name="result")
        return te.create_prim_func([image, weights, *extra, result])

    def _schedule(self, schedule: Any, shape: ConvShape, processor: Processor) -> None:
        result = schedule.get_sblock("result")
        o, p, v = schedule.get_loops(result)
        tile, within = schedule.split(o, [None, self.columns // processor.lanes])
        run, pixel = schedule.split(p, [None, self.rows])
        schedule.reorder(tile, run, pixel, within, v)
        keep_in_registers(schedule, run, processor, plain=shape.plain)
        schedule.transform_layout(
            result,
            ("write", 0),
            lambda o, p, v: (o, p // shape.out[1], p % shape.out[1], v),
        )


def keep_in_registers(schedule: Any, run: Any, processor: Processor, *, plain: bool) -> None:
    """Schedule the sums of a tile under the loop that runs over tiles.

    Args:
        schedule: With the blocks ``sums`` over ``(…, pixels, columns)``, whose reduction is
            over channels, two axes of taps and lanes, ``result``, whose inner loops are
            pixels, blocks and lanes, and maybe ``copied``.
        run: The loop of ``result`` around its inner loops.
        processor: Whose vectors they are.
        plain: Whether the image is not in blocks.
    """
    sums, result = schedule.get_sblock("sums"), schedule.get_sblock("result")
    around = len(schedule.get_loops(result)) - 3
    schedule.compute_at(sums, run, preserve_unit_loops=True)
    schedule.set_scope(sums, 0, "local")
    *fixed, p, v, c, y, x, d = schedule.get_loops(sums)[around:]
    wide, lane = schedule.split(v, [None, processor.lanes])
    if plain:
        schedule.reorder(c, y, x, d, p, *fixed, wide, lane)
        if schedule.get(x).extent <= MOST_UNROLLED:
            schedule.unroll(x)
    else:
        outer, inner = schedule.split(d, [None, min(UNROLL, processor.lanes)])
        schedule.reorder(c, y, x, outer, inner, p, *fixed, wide, lane)
        schedule.unroll(inner)
    *_, pixel, within, vector = schedule.get_loops(result)
    for loop in (lane, vector):
        schedule.vectorize(loop)
    for loop in (wide, p, pixel, within):
        schedule.unroll(loop)
    root = schedule.get_sblock("root")
    for block in schedule.get_child_blocks(root):
        if schedule.get(block).name_hint == "copied" and not plain:
            schedule.vectorize(schedule.get_loops(block)[-1])
    # Vectorising asks for a whole reduction block: this comes last.
    schedule.decompose_reduction(sums, c)


def tile_cycles(
    rows: int, wide: int, processor: Processor, *, steps: int, crosses: bool
) -> float:
    """Return the cycles of one tile that fits into the registers, by formula.

    Each of its ``steps``, which take in one number of every pixel, costs what its
    multiply-adds do and something for the weights. Each tile costs something to begin, more
    where it may cross rows of the image and each pixel's place is worked out, and to end.
    """
    sums = rows * wide
    begin = 20 + (5 * rows if crosses else 0)
    return begin + steps * (sums / 2 / efficiency(rows, wide, processor) + 0.6) + sums


def copies_image(shape: ConvShape) -> bool:
    """Whether a kernel first writes the image anew: with borders, or only what it samples."""
    return any(shape.pads) or (shape.kernel == (1, 1) and not shape.dense)


def _taps(image: Any, shape: ConvShape, blocks: int, deep: int) -> Any:
    """Return how to read what an output pixel sees under a tap.

    A strided convolution of one tap reads a copy of what it samples, a padded one a copy with
    borders.
    """
    (down, across), (dy, dx) = shape.strides, shape.dilations
    width = shape.out[1]
    whole = (shape.height, shape.width)
    borders = shape.pads[:2] if any(shape.pads) else None

    def read(c: Any, y: Any, x: Any, d: Any) -> Any:
        return image[0, c, y, x] if shape.plain else image[c, y, x, d]

    if not copies_image(shape):
        return lambda c, p, y, x, d: read(
            c, p // width * down + y * dy, p % width * across + x * dx, d
        )
    if shape.kernel == (1, 1):
        copied = copied_image(read, whole, (blocks, *shape.out, deep), borders, shape.strides)
        return lambda c, p, y, x, d: copied[c, p // width, p % width, d]
    span = (
        (shape.out[0] - 1) * down + shape.reach[0],
        (shape.out[1] - 1) * across + shape.reach[1],
    )
    copied = copied_image(read, whole, (blocks, *span, deep), borders)
    return lambda c, p, y, x, d: copied[
        c, p // width * down + y * dy, p % width * across + x * dx, d
    ]


def copied_image(
    read: Any,
    within: tuple[int, int],
    size: tuple[int, ...],
    borders: tuple[int, int] | None,
    steps: tuple[int, int] = (1, 1),
) -> Any:
    """Return a copy of an image, with zeros around it.

    Args:
        read: Reads the image at block, row, column and lane.
        within: Its rows and columns.
        size: Blocks, rows, columns and lanes of the copy.
        borders: Rows of zeros above and columns to the left; None where all of the copy lies
            within the image.
        steps: Rows and columns from one pixel of the copy to the next.
    """
    zero = tirx.const(0.0, "float32")

    def element(c: Any, y: Any, x: Any, d: Any) -> Any:
        row, column = y * steps[0], x * steps[1]
        if borders is None:
            return read(c, row, column, d)
        row, column = row - borders[0], column - borders[1]
        inside = tirx.all(row >= 0, row < within[0], column >= 0, column < within[1])
        return tirx.if_then_else(inside, read(c, row, column, d), zero)

    return te.compute(size, element, name="copied")

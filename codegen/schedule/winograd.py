"""Winograd convolution: 3×3 taps at stride 1 with fewer multiplications.

Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016. ``F(2×2, 3×3)``
multiplies 2.25 times less than a direct convolution, ``F(4×4, 3×3)`` 4 times; their packed
weights are 1.8 and 4 times as many. A tile is transformed as a whole: where an input is
infinite or not a number, the sums of its tile are added up anew, without transforms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import tvm

from suture.codegen.schedule.base import (
    Epilogue,
    Processor,
    ceil_div,
    efficiency,
    mark,
    weighed,
)
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.winograd_nest import Nest
from suture.codegen.schedule.winograd_transforms import TAPS, TRANSFORMS

MOST_ROWS = 14
MOST_WIDE = 4
CACHE_BYTES = 512 * 1024
"""Second-level cache that a block of transformed tiles may take a share of."""
SHARES = (1 / 4, 1 / 2, 1)
TILES_OF_SPACE = 3
FAR_CACHE_BYTES = 12 * 2**20
"""Share of the last-level cache that weights find from one block to the next."""
NEAR_CYCLES = 1 / 40
"""To read a byte of the last-level cache, beyond what is done meanwhile."""
TILE_CYCLES = 20
"""To begin and to end a tile of accumulators. Measured, as all cycles here, on AMD Zen 3."""
TRANSFORM_CYCLES: Mapping[int, tuple[int, int]] = {2: (90, 40), 4: (250, 110)}
"""Outputs of a tile along each axis → cycles to transform one vector of channels of it, and
one vector of filters."""
MOST_WEIGHT = 1e36
"""Larger weights may overflow when they are transformed."""
MOST_WHOLE_BYTES = 8 * 2**20
"""A whole image is one block where its transformed inputs take no more than that."""


@dataclass(frozen=True)
class Winograd:
    """How much is transformed, multiplied and kept at once.

    Attributes:
        outputs: Output pixels of a tile along each axis, 2 or 4.
        rows: Tiles of the image in a tile of accumulators.
        columns: Filters in a tile of accumulators, a multiple of the lanes.
        block: Tiles of the image that are transformed before they are multiplied.
    """

    name: ClassVar[str] = "winograd"
    outputs: int
    rows: int
    columns: int
    block: int

    @classmethod
    def space(cls, shape: ConvShape, processor: Processor) -> tuple[Winograd, ...]:
        """Return every legal value, the most promising first by formula, if there is any."""
        if not fits(shape):
            return ()
        found = [
            cls(outputs, rows, columns, block)
            for outputs in TRANSFORMS
            for rows, columns in _tiles(shape, processor, outputs)
            for block in _blocks(shape, processor, outputs, rows)
        ]
        return tuple(sorted(found, key=lambda each: each.cycles(shape, processor)))

    def cycles(self, shape: ConvShape, processor: Processor) -> float:
        """Return about how many cycles the kernel takes on one core, weights being cold."""
        places, lanes = TRANSFORMS[self.outputs].reads ** 2, processor.lanes
        wide = self.columns // lanes
        deep, made = ceil_div(shape.channels, lanes), ceil_div(shape.filters, lanes)
        count = _count(shape, self.outputs)
        blocks, rest = divmod(count, self.block)
        runs = blocks * (self.block // self.rows) + ceil_div(rest, self.rows)
        passes = ceil_div(count, self.block)
        tiles = places * runs * ceil_div(made, wide)
        steps = deep * lanes * self.rows * wide / 2 / efficiency(self.rows, wide, processor)
        multiply = tiles * (steps + TILE_CYCLES)
        image, sums = TRANSFORM_CYCLES[self.outputs]
        ends = count * (deep * image + made * sums)
        weights = self.packed_bytes(shape, processor)
        again = weights * (passes - 1)
        if weights > FAR_CACHE_BYTES:
            return ends + weighed(multiply, weights + again)
        kept = 4 * places * min(self.block, count) * (deep * lanes + 2 * self.columns)
        if kept > CACHE_BYTES:
            again += kept * passes * ceil_div(made, wide)
        return ends + weighed(multiply + NEAR_CYCLES * again, weights)

    def packed_bytes(self, shape: ConvShape, processor: Processor) -> int:
        """Return the size of the packed weights."""
        lanes = processor.lanes
        filters = ceil_div(shape.filters, self.columns) * self.columns
        channels = ceil_div(shape.channels, lanes) * lanes
        return 4 * filters * channels * TRANSFORMS[self.outputs].reads ** 2

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(filters, channels, 3, 3)`` as the kernel reads them: GgGᵀ."""
        transform, lanes = TRANSFORMS[self.outputs], processor.lanes
        filters = ceil_div(shape.filters, self.columns) * self.columns
        channels = ceil_div(shape.channels, lanes) * lanes
        whole = np.zeros((filters, channels, transform.reads, transform.reads))
        whole[: shape.filters, : shape.channels] = (
            transform.weights @ weights.astype(np.float64) @ transform.weights.T
        )
        tiles = whole.reshape(
            filters // self.columns, self.columns, channels, transform.reads**2
        )
        return np.ascontiguousarray(tiles.transpose(0, 3, 2, 1), np.float32)

    def kernel(
        self, shape: ConvShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel: input, weights, bias and residual if any, output."""
        nest = Nest(
            shape,
            epilogue,
            TRANSFORMS[self.outputs],
            rows=self.rows,
            columns=self.columns,
            block=self.block,
            lanes=processor.lanes,
            threads=processor.threads,
        )
        return mark(nest.function())


def fits(shape: ConvShape) -> bool:
    """Whether a convolution is one of 3×3 taps at stride 1 over blocks of channels."""
    return (
        shape.kernel == (TAPS, TAPS)
        and shape.strides == shape.dilations == (1, 1)
        and shape.groups == 1
        and not shape.plain
    )


def bears(weights: npt.NDArray[np.float32]) -> bool:
    """Whether weights can be transformed and recovered: all are finite and none is huge."""
    return bool((np.abs(weights) <= MOST_WEIGHT).all())


def _count(shape: ConvShape, outputs: int) -> int:
    """Return the tiles of an image."""
    return ceil_div(shape.out[0], outputs) * ceil_div(shape.out[1], outputs)


def _tiles(shape: ConvShape, processor: Processor, outputs: int) -> list[tuple[int, int]]:
    """Return the most promising tiles of accumulators, ``(rows, columns)``."""
    count, lanes = _count(shape, outputs), processor.lanes
    vectors = ceil_div(shape.filters, lanes)
    costs = {}
    for wide in range(1, min(MOST_WIDE, vectors) + 1):
        for rows in range(1, min(MOST_ROWS, count) + 1):
            best = efficiency(rows, wide, processor)
            if best:
                covered = ceil_div(count, rows) * rows * ceil_div(vectors, wide) * wide
                costs[rows, wide * lanes] = covered / best
    return sorted(costs, key=lambda tile: (costs[tile], -tile[0] * tile[1]))[:TILES_OF_SPACE]


def _blocks(shape: ConvShape, processor: Processor, outputs: int, rows: int) -> list[int]:
    """Return numbers of tiles whose transformed inputs take a share of the cache."""
    count = _count(shape, outputs)
    channels = ceil_div(shape.channels, processor.lanes) * processor.lanes
    tile_bytes = 4 * channels * TRANSFORMS[outputs].reads ** 2
    found = set()
    for share in SHARES:
        most = max(rows, int(share * CACHE_BYTES) // tile_bytes // rows * rows)
        blocks = ceil_div(ceil_div(count, most), processor.threads) * processor.threads
        found.add(ceil_div(ceil_div(count, blocks), rows) * rows)
    if count * tile_bytes <= MOST_WHOLE_BYTES:
        found.add(ceil_div(count, rows) * rows)
    return sorted(found)

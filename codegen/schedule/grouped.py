"""Convolution of k×k taps in groups that are no whole vectors of channels and filters.

Lanes are filters, as in a depthwise convolution: each lane adds up the products of its own
group. The vector that lanes multiply is put together in a register, from the image's vectors
that hold the channels they see: for eight lanes and groups of four, channel 0 of the first
group four times, then that of the second. Large groups meet in a vector two at most, and one
number of each is spread over its lanes. What is put together meets all taps of a row of the
window that see it. No product is computed that nobody wants.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm
from tvm import tirx
from tvm.tirx.script import builder as T  # noqa: N812 (TVM's own name for it)

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, weighed, within
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.patterns import (
    Pattern,
    cut_at_borders,
    is_short,
    products_by_column,
)
from suture.codegen.schedule.vectors import (
    Register,
    Vectors,
    kernel,
    loop,
    named,
    pays,
    sections,
    zero,
)

MOST_ROWS = 14
MOST_PRODUCTS = 1024
"""Products of a row of the window of one channel that code is written out for."""
BEGIN, PUT_TOGETHER, LATENCY = 20.0, 0.15, 4.0
"""Cycles to begin a tile, to put a vector together, and of a multiply-add."""


@dataclass(frozen=True)
class GroupedConv:
    """A row of accumulators, one vector of filters wide.

    Attributes:
        rows: Output pixels of a tile, along a row of the image.
    """

    name: ClassVar[str] = "grouped-conv"
    rows: int

    @classmethod
    def space(cls, shape: ConvShape, processor: Processor) -> tuple[GroupedConv, ...]:
        """Return every legal tile, the most promising first by formula.

        Tiles of wide windows are short, as the code of each product is written out.
        """
        held = min(shape.kernel[1], 3) + 1
        steps = Pattern.of(shape, processor.lanes).blocks * shape.kernel[1]
        written = max(1, MOST_PRODUCTS // steps)
        most = min(MOST_ROWS, processor.registers - held, shape.out[1], written)
        tiles = [cls(rows) for rows in range(1, most + 1)]
        costs = {tile: tile.cycles(shape, processor) for tile in tiles}
        return tuple(sorted(tiles, key=lambda tile: (costs[tile], -tile.rows)))

    def cycles(self, shape: ConvShape, processor: Processor) -> float:
        """Return about how many cycles the kernel takes on one core, weights being cold."""
        blocks = ceil_div(shape.filters, processor.lanes)
        steps = shape.kernel[0] * shape.channels // shape.groups
        total = 0.0
        for part in sections(shape.out[1], self.rows):
            wide = len(products_by_column(shape, part.size))
            busy = max(part.size / 2, LATENCY) * shape.kernel[1]
            step = busy + PUT_TOGETHER * (wide + shape.kernel[1])
            total += part.count * (BEGIN + steps * step + part.size)
        weights = 4 * blocks * processor.lanes * steps * shape.kernel[1]
        return weighed(blocks * shape.out[0] * total, weights)

    def pack(
        self, weights: npt.NDArray[np.float32], shape: ConvShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(filters, channels / groups, kh, kw)`` as the kernel reads them."""
        blocks = ceil_div(shape.filters, processor.lanes)
        whole = np.zeros((blocks * processor.lanes, *weights.shape[1:]), np.float32)
        whole[: shape.filters] = weights
        tiles = whole.reshape(blocks, processor.lanes, *weights.shape[1:])
        return np.ascontiguousarray(tiles.transpose(0, 3, 2, 4, 1))

    def kernel(
        self, shape: ConvShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel: input, packed weights, bias and residual if any, output."""
        lanes = processor.lanes
        blocks, seen = ceil_div(shape.filters, lanes), shape.channels // shape.groups
        out = (blocks, *shape.out, lanes)
        arguments: dict[str, Sequence[int]] = {
            "image": (ceil_div(shape.channels, lanes), shape.height, shape.width, lanes),
            "weights": (blocks, shape.kernel[0], seen, shape.kernel[1], lanes),
        }
        if epilogue.bias:
            arguments["bias"] = (blocks * lanes,)
        if epilogue.residual:
            arguments["residual"] = out
        arguments["result"] = out

        def body(image: Any, weights: Any, *rest: Any) -> None:
            nest = _Nest(
                shape=shape,
                epilogue=epilogue,
                vectors=Vectors(lanes),
                image=image,
                weights=weights,
                bias=rest[0] if epilogue.bias else None,
                residual=rest[-2] if epilogue.residual else None,
                result=rest[-1],
            )
            products = math.prod(shape.out) * shape.filters * seen * math.prod(shape.kernel)
            nest.emit(self.rows, shared=processor.threads > 1 and pays(products))

        return kernel(arguments, body)


@dataclass(frozen=True, kw_only=True)
class _Nest:
    """A kernel in the making."""

    shape: ConvShape
    epilogue: Epilogue
    vectors: Vectors
    image: Any
    weights: Any
    bias: Any
    residual: Any
    result: Any

    def emit(self, rows: int, *, shared: bool) -> None:
        """Emit the loops: over blocks of one place in the pattern, rows and tiles."""
        lanes, shape = self.vectors.lanes, self.shape
        pattern, blocks = Pattern.of(shape, lanes), ceil_div(shape.filters, lanes)
        for place in range(min(pattern.blocks, blocks)):
            times = ceil_div(blocks - place, pattern.blocks)
            with loop(times * shape.out[0], shared=shared) as line:
                turn = named(tirx.floordiv(line, shape.out[0]))
                y = named(tirx.floormod(line, shape.out[0]))
                block = turn * pattern.blocks + place
                put_together = (
                    self._known_places(place, turn * pattern.seen)
                    if pattern.seen
                    else self._any_place(block)
                )
                for part in cut_at_borders(shape, rows):
                    with loop(part.count) as i:
                        x = part.first if part.count == 1 else part.first + i * part.size
                        self._tile(block, y, x, part.size, put_together)

    def _known_places(self, place: int, first: Any) -> Callable[..., Any]:
        """Return how to put together what the filters of several groups see.

        Args:
            place: The block's place in the pattern.
            first: The block of channels at which the pattern begins.
        """
        shape, lanes = self.shape, self.vectors.lanes
        seen, made = shape.channels // shape.groups, shape.filters // shape.groups
        bases = [(place * lanes + lane) // made * seen for lane in range(lanes)]

        def shuffled(position: int, row: Any, column: Any) -> Any:
            channels = [base + position for base in bases]
            held = sorted({channel // lanes for channel in channels})
            known = [self._within(first + at) for at in held]
            return tirx.Shuffle(
                [self.vectors.load(self.image, at, row, column, 0) for at in known],
                [
                    tirx.const(held.index(channel // lanes) * lanes + channel % lanes, "int32")
                    for channel in channels
                ],
            )

        def blended(position: Any, row: Any, column: Any) -> Any:
            vector = self._spread(first * lanes + bases[0] + position, row, column)
            for base in sorted(set(bases[1:]) - {bases[0]}):
                theirs = self.vectors.at(0) >= self.vectors.spread(bases.index(base))
                other = self._spread(first * lanes + base + position, row, column)
                vector = tirx.Select(theirs, other, vector)
            return vector

        return shuffled if is_short(shape, lanes) and len(set(bases)) > 1 else blended

    def _any_place(self, block: Any) -> Callable[..., Any]:
        """Return how to put together what the filters of one group see, or of two."""
        shape, lanes = self.shape, self.vectors.lanes
        seen, made = shape.channels // shape.groups, shape.filters // shape.groups
        group = named(tirx.floordiv(block * lanes, made))
        begin, split = group * seen, named((group + 1) * made - block * lanes)

        def put_together(position: Any, row: Any, column: Any) -> Any:
            vector = self._spread(begin + position, row, column)
            if made % lanes == 0:
                return vector
            theirs = self.vectors.at(0) >= self.vectors.spread(split)
            other = self._spread(begin + seen + position, row, column)
            return tirx.Select(theirs, other, vector)

        return put_together

    def _spread(self, channel: Any, row: Any, column: Any) -> Any:
        """Return a vector of one number of the image."""
        block, lane = (
            at(channel, self.vectors.lanes) for at in (tirx.floordiv, tirx.floormod)
        )
        return self.vectors.spread(self.image[self._within(block), row, column, lane])

    def _within(self, block: Any) -> Any:
        """Return a block of channels; lanes beyond the last filter may see one beyond all."""
        return tirx.min(block, ceil_div(self.shape.channels, self.vectors.lanes) - 1)

    def _tile(
        self, block: Any, y: Any, x: Any, size: int, put_together: Callable[..., Any]
    ) -> None:
        """Emit a tile: its sums, and what becomes of them."""
        lanes, shape = self.vectors.lanes, self.shape
        sums = [self.vectors.register(self.vectors.spread(zero())) for _ in range(size)]
        low, high = self._taps(y)
        with T.serial(low, high) as tap:
            row = y * shape.strides[0] + tap * shape.dilations[0] - shape.pads[0]
            seen = shape.channels // shape.groups
            short = is_short(shape, lanes)
            with loop(1 if short else seen) as other:
                for position in range(seen) if short else (other,):
                    weights = [
                        named(self.vectors.load(self.weights, block, tap, position, k, 0))
                        for k in range(shape.kernel[1])
                    ]
                    self._add(sums, x, weights, partial(put_together, position, row))
        for pixel, total in enumerate(sums):
            value = within(total.get(), self.vectors.at(block * lanes), shape.filters, lanes)
            finished = self.epilogue.apply(
                value,
                lambda: self.vectors.load(self.bias, block * lanes),
                lambda at=x + pixel: self.vectors.load(self.residual, block, y, at, 0),
            )
            self.vectors.store(self.result, finished, block, y, x + pixel, 0)

    def _add(
        self,
        sums: Sequence[Register],
        x: Any,
        weights: Sequence[Any],
        read: Callable[..., Any],
    ) -> None:
        """Add the products of one row of the window and one channel of each group."""
        shape = self.shape
        begin = x * shape.strides[1] - shape.pads[1]
        for column, met in products_by_column(shape, len(sums)).items():
            # A tile that meets a border stands at a known place.
            if isinstance(begin, int) and not 0 <= begin + column < shape.width:
                continue
            pixel = named(read(begin + column))
            for at, tap in met:
                sums[at].set(sums[at].get() + pixel * weights[tap])

    def _taps(self, y: Any) -> tuple[Any, Any]:
        """Return which rows of the window lie within the image: the first, and the end."""
        shape = self.shape
        (step, _), (apart, _), (top, _, bottom, _) = shape.strides, shape.dilations, shape.pads
        low: Any = 0
        high: Any = shape.kernel[0]
        if top:
            low = tirx.max(0, tirx.floordiv(top - y * step + apart - 1, apart))
        if bottom:
            end = tirx.floordiv(shape.height + top - y * step + apart - 1, apart)
            high = tirx.max(low, tirx.min(high, end))
        return low, tirx.max(low, high) if top else high

"""The loops of a Winograd convolution, written out as TensorIR.

Tiles of the image are taken in blocks that stay in the second-level cache: a block is
transformed, multiplied by each tile of filters, and those products are transformed back and
finished before the next filters. Only weights stream. Where sums are then no finite numbers,
they are added up anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script.builder import ir as code

from suture.codegen.schedule.base import Epilogue, ceil_div, within
from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.winograd_mend import Direct, is_spoilt
from suture.codegen.schedule.winograd_transforms import Transform

UNROLL = 8
LINE_BYTES = 64
APART = LINE_BYTES // 4
"""Numbers between the products of one place of a tile and of the next: one line of a cache,
without which all places of a tile would fall into the same few sets of it."""
NEAREST = 3  # llvm.prefetch's locality: into all levels of the cache


class _Places:
    """A buffer of numbers for each place of a tile, the places apart.

    One axis: TVM shrinks buffers, axis by axis, to what is used of them.
    """

    def __init__(self, places: int, span: int, lanes: int) -> None:
        self._buffer, self._span, self._lanes = (
            code.alloc_buffer((places * span,)),
            span,
            lanes,
        )

    def number(self, place: Any, at: Any) -> Any:
        """Return one number."""
        return self._buffer[place * self._span + at]

    def load(self, place: Any, at: Any) -> Any:
        """Return a vector."""
        return self._buffer.vload([place * self._span + at], f"float32x{self._lanes}")

    def store(self, place: Any, at: Any, vector: Any) -> None:
        """Write a vector."""
        index = tirx.Ramp(place * self._span + at, 1, self._lanes)
        code.buffer_store(self._buffer, vector, [index])


class Nest:
    """One convolution's loops.

    Args:
        shape: The convolution.
        epilogue: What is done to a sum.
        transform: Along either axis.
        rows: Tiles of the image in a tile of accumulators.
        columns: Filters in a tile of accumulators.
        block: Tiles of the image in a block, a multiple of the rows.
        lanes: Numbers of a vector.
        threads: Cores that share the blocks, or the insides of the only block.
    """

    def __init__(
        self,
        shape: ConvShape,
        epilogue: Epilogue,
        transform: Transform,
        *,
        rows: int,
        columns: int,
        block: int,
        lanes: int,
        threads: int,
    ) -> None:
        self.shape, self.epilogue, self.transform = shape, epilogue, transform
        self.rows, self.columns, self.block, self.lanes = rows, columns, block, lanes
        self.places = transform.reads**2
        self.deep, self.made = ceil_div(shape.channels, lanes), ceil_div(shape.filters, lanes)
        self.wide = columns // lanes
        self.filter_tiles = ceil_div(self.made, self.wide)
        self.across = ceil_div(shape.out[1], transform.outputs)
        self.tiles = ceil_div(shape.out[0], transform.outputs) * self.across
        self.blocks = ceil_div(self.tiles, block)
        apart = code.parallel if threads > 1 else code.serial
        self.over_blocks = apart if self.blocks > 1 else code.serial
        self.inside_block = code.serial if self.blocks > 1 else apart

    def function(self) -> tvm.tirx.PrimFunc:
        """Return the kernel: input, weights, bias and residual if any, output."""
        shape, lanes = self.shape, self.lanes
        whole = (self.made, *shape.out, lanes)
        with IRBuilder() as builder:
            with code.prim_func(s_tir=True):
                image = (self.deep, shape.height, shape.width, lanes)
                self.image = code.arg("image", code.buffer(image))
                self.weights = code.arg("weights", code.buffer(self._weights_shape()))
                if self.epilogue.bias:
                    self.bias = code.arg("bias", code.buffer((self.made * lanes,)))
                if self.epilogue.residual:
                    self.residual = code.arg("residual", code.buffer(whole))
                self.result = code.arg("result", code.buffer(whole))
                with self.over_blocks(self.blocks) as block:
                    self._block(block)
            return builder.get()

    def _weights_shape(self) -> tuple[int, ...]:
        return self.filter_tiles, self.places, self.deep * self.lanes, self.columns

    def _block(self, block: Any) -> None:
        first, count = block * self.block, min(self.block, self.tiles)
        if self.tiles % self.block and self.tiles > self.block:
            count = code.Bind(tirx.min(self.block, self.tiles - first))
        runs = (count + self.rows - 1) // self.rows
        self.transformed = self._places(self.block * self.deep * self.lanes)
        with self.inside_block(runs) as run:
            self.halfway = code.alloc_buffer((self.rows, self.places, self.lanes))
            with code.serial(self.deep) as channels:
                self._transform_image(first, count, run, channels)
        with self.inside_block(self.filter_tiles) as filters:
            self.products = self._places(self.block * self.columns)
            self.halfway = code.alloc_buffer((self.rows, self.places, self.lanes))
            with code.serial(self.places) as place, code.serial(runs) as run:
                self._multiply(filters, place, run)
            with code.serial(runs) as run, code.serial(self.wide) as part:
                vector = code.Bind(filters * self.wide + part)
                with _where(vector < self.made, self.made % self.wide != 0):
                    self._transform_products(first, count, run, vector)

    def _tiles_of(self, run: Any, count: Any) -> Any:
        """Return a loop over the tiles of a run, the last of which may be short."""
        return code.serial(tirx.min(self.rows, count - run * self.rows))

    def _corner(self, tile: Any) -> tuple[Any, Any]:
        """Return the first output row and column of a tile."""
        step, number = self.transform.outputs, code.Bind(tile)
        return code.Bind(number // self.across * step), code.Bind(number % self.across * step)

    def _transform_image(self, first: Any, count: Any, run: Any, channels: Any) -> None:
        """Write Bᵀdb of a run of tiles: Bᵀd of all, then Bᵀdb of all.

        Between the passes stands memory: one pass over a tile would hold more than there are
        registers.
        """
        reads, image = self.transform.reads, self.transform.image
        rows = range(reads)
        with self._tiles_of(run, count) as row:
            top, left = self._corner(first + run * self.rows + row)
            read = self._reader(channels, top - self.shape.pads[0], left - self.shape.pads[1])
            for j in rows:
                for i, vector in enumerate(image([code.Bind(read(i, j)) for i in rows])):
                    self._store(self.halfway, (row, i * reads + j, 0), vector)
        with self._tiles_of(run, count) as row:
            at = code.Bind(((run * self.deep + channels) * self.rows + row) * self.lanes)
            for i in rows:
                half = [
                    code.Bind(self._load(self.halfway, row, i * reads + j, 0)) for j in rows
                ]
                for j, vector in enumerate(image(half)):
                    self.transformed.store(i * reads + j, at, vector)

    def _reader(self, channels: Any, top: Any, left: Any) -> Callable[[int, int], Any]:
        """Return how to read a pixel of a tile: zero beyond the image."""
        y, x = code.Bind(top), code.Bind(left)
        borders = [not all(self._inner(axis)) for axis in (0, 1)]

        def read(i: int, j: int) -> Any:
            pixel = self._load(self.image, channels, y + i, x + j, 0)
            seen = []
            if borders[0]:
                seen += [y + i >= 0, y + i < self.shape.height]
            if borders[1]:
                seen += [x + j >= 0, x + j < self.shape.width]
            if not seen:
                return pixel
            zero = tirx.Broadcast(_number(0.0), self.lanes)
            return tirx.if_then_else(tirx.all(*seen), pixel, zero)

        return read

    def _inner(self, axis: int) -> list[bool]:
        """Return for each tile along an axis whether it reads nothing beyond the image."""
        size, pad = (self.shape.height, self.shape.width)[axis], self.shape.pads[axis]
        starts = range(-pad, self.shape.out[axis] - pad, self.transform.outputs)
        return [0 <= start <= size - self.transform.reads for start in starts]

    def _multiply(self, filters: Any, place: Any, run: Any) -> None:
        """Write the products of a run of tiles and a tile of filters at one place."""
        sums = code.alloc_buffer((self.rows * self.columns,), scope="local")
        parts = range(0, self.rows * self.columns, self.lanes)
        for part in parts:
            self._store(sums, (part,), tirx.Broadcast(_number(0.0), self.lanes))
        unrolled = min(UNROLL, self.lanes)
        with code.serial(self.deep) as channels:
            self._prefetch(filters, place, run * self.deep + channels)
            with code.serial(self.lanes // unrolled) as some:
                for step in range(unrolled):
                    self._step(sums, (filters, place, run), channels, some * unrolled + step)
        for part in parts:
            at = run * (self.rows * self.columns) + part
            self.products.store(place, at, self._load(sums, part))

    def _step(self, sums: Any, where: Sequence[Any], channels: Any, lane: Any) -> None:
        """Add what one input channel gives to a tile of accumulators."""
        filters, place, run = where
        channel = channels * self.lanes + lane
        weights = [
            code.Bind(self._load(self.weights, filters, place, channel, part * self.lanes))
            for part in range(self.wide)
        ]
        for row in range(self.rows):
            at = ((run * self.deep + channels) * self.rows + row) * self.lanes + lane
            number = code.Bind(tirx.Broadcast(self.transformed.number(place, at), self.lanes))
            for part, weight in enumerate(weights):
                to = row * self.columns + part * self.lanes
                self._store(sums, (to,), self._load(sums, to) + number * weight)

    def _prefetch(self, filters: Any, place: Any, step: Any) -> None:
        """Fetch the next place's weights, each run a share of them.

        A panel of weights is used by a few runs only; without this the first of them waits
        for memory and the others leave memory idle.
        """
        runs = ceil_div(min(self.block, self.tiles), self.rows)
        share = ceil_div(self.lanes * self.columns * 4, LINE_BYTES * runs)
        for line in range(share):
            at = (step * share + line) * (LINE_BYTES // 4)
            next_panel = self.weights[
                filters, place + 1, at // self.columns, at % self.columns
            ]
            flags = (tirx.const(flag, "int32") for flag in (0, NEAREST, 1))
            code.evaluate(
                tirx.call_intrin("void", "tirx.prefetch", tirx.address_of(next_panel), *flags)
            )

    def _transform_products(self, first: Any, count: Any, run: Any, vector: Any) -> None:
        """Finish the outputs of a run of tiles for one vector of filters, in two passes."""
        reads, sums = self.transform.reads, self.transform.sums
        part = vector % self.wide * self.lanes
        with self._tiles_of(run, count) as row:
            at = code.Bind((run * self.rows + row) * self.columns + part)
            for j in range(reads):
                column = [
                    code.Bind(self.products.load(i * reads + j, at)) for i in range(reads)
                ]
                for i, each in enumerate(sums(column)):
                    self._store(self.halfway, (row, i * reads + j, 0), each)
        rest = [size % self.transform.outputs for size in self.shape.out]
        total = code.alloc_buffer((self.lanes,), scope="local")
        self._store(total, (0,), tirx.Broadcast(_number(0.0), self.lanes))
        with self._tiles_of(run, count) as row:
            top, left = self._corner(first + run * self.rows + row)
            for i in range(self.transform.outputs):
                with _where(top + i < self.shape.out[0], 0 < rest[0] <= i):
                    half = [
                        code.Bind(self._load(self.halfway, row, i * reads + j, 0))
                        for j in range(reads)
                    ]
                    made = [code.Bind(each) for each in sums(half)]
                    self._store(total, (0,), self._load(total, 0) + _added(made))
                    for j, each in enumerate(made):
                        with _where(left + j < self.shape.out[1], 0 < rest[1] <= j):
                            self._finish(each, vector, top + i, left + j)
        with code.If(is_spoilt(total, self.lanes)), code.Then():
            self._add_up(first, count, run, vector)

    def _add_up(self, first: Any, count: Any, run: Any, vector: Any) -> None:
        """Finish the outputs of a run of tiles for one vector of filters, without transforms.

        What is infinite or not a number has spread over its whole tile.
        """
        panel, column = vector // self.wide, vector % self.wide * self.lanes
        direct = Direct(self.shape, self.transform, self.lanes, self.image, self.weights)
        with self._tiles_of(run, count) as row:
            top, left = self._corner(first + run * self.rows + row)
            with direct.outputs(panel, column, top, left) as (i, j, value):
                self._finish(value, vector, top + i, left + j)

    def _finish(self, value: Any, vector: Any, y: Any, x: Any) -> None:
        channels = tirx.Ramp(vector * self.lanes, 1, self.lanes)
        finished = self.epilogue.apply(
            within(value, channels, self.shape.filters, self.lanes),
            lambda: self._load(self.bias, vector * self.lanes),
            lambda: self._load(self.residual, vector, y, x, 0),
        )
        self._store(self.result, (vector, y, x, 0), finished)

    def _places(self, each: int) -> _Places:
        return _Places(self.places, each + APART, self.lanes)

    def _load(self, buffer: Any, *at: Any) -> Any:
        return buffer.vload(list(at), f"float32x{self.lanes}")

    def _store(self, buffer: Any, at: Sequence[Any], vector: Any) -> None:
        code.buffer_store(buffer, vector, [*at[:-1], tirx.Ramp(at[-1], 1, self.lanes)])


def _number(value: float) -> Any:
    return tirx.const(value, "float32")


def _added(terms: Sequence[Any]) -> Any:
    """Return a sum in pairs: a chain of additions would be waited for."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return _added(terms[:half]) + _added(terms[half:])


def _where(condition: Any, needed: bool) -> AbstractContextManager[Any]:
    """Return a scope that runs under a condition, or always where that is not needed."""
    scope = ExitStack()
    if needed:
        scope.enter_context(code.If(condition))
        scope.enter_context(code.Then())
    return scope

"""Attention, softmax(scale · Q Kᵀ + mask) V, a head and some rows of queries at a time.

Keys and values of a head are packed into panels once, which fit into the second-level cache;
the scores of a tile of rows stay in the first (after Dao et al., NeurIPS 2022, though each row
of scores is whole before its softmax: a tile of rows is thin enough). Queries are read and
results are written where they lie, so that nothing is transposed around it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import tirx

from suture.codegen.schedule.base import Processor, ceil_div
from suture.codegen.schedule.rows import LOWEST, Row
from suture.codegen.schedule.softmax import exponentials
from suture.codegen.schedule.vectors import (
    Vectors,
    guard,
    kernel,
    loop,
    named,
    scratch,
    sections,
    store,
    workspace,
    zero,
)

MOST_ROWS = 12
MOST_WIDE = 4


@dataclass(frozen=True, kw_only=True)
class Strided:
    """Where ``[batch, head, row, column]`` of an operand lies in a flat buffer.

    Attributes:
        extent: Numbers in the buffer.
        offset: Where the first element is.
        strides: From one to the next along each axis; 0 where it is the same for all.
    """

    extent: int
    offset: int
    strides: tuple[int, int, int, int]

    def at(self, batch: Any, head: Any, row: Any, column: Any) -> Any:
        """Return an element's place."""
        b, h, r, c = self.strides
        return batch * b + head * h + row * r + column * c + self.offset


@dataclass(frozen=True, kw_only=True)
class AttentionShape:
    """Sizes of an attention and where its operands lie.

    Attributes:
        batch: Sequences.
        heads: Heads of each.
        queries: Rows of Q.
        keys: Rows of K and V.
        size: Numbers in a row of Q and K.
        depth: Numbers in a row of V.
        scale: What scores are multiplied by.
        query: Q by query and column.
        key: K by key and column.
        value: V by key and column.
        result: What is written, by query and column of V.
        mask: What is added to scores, by query and key.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    depth: int
    scale: float
    query: Strided
    key: Strided
    value: Strided
    result: Strided
    mask: Strided | None = None


@dataclass(frozen=True)
class Attention:
    """A tile of accumulators, for scores and for results.

    Attributes:
        rows: Queries of a tile.
        columns: Keys, and numbers of a value, of a tile; a multiple of the lanes.
    """

    name: ClassVar[str] = "attention"
    rows: int
    columns: int

    @classmethod
    def space(cls, shape: AttentionShape, processor: Processor) -> tuple[Attention, ...]:
        """Return every legal tile, the most promising first by formula.

        Both products are shallow: what counts is the share of multiply-adds among what is
        issued, and what ragged edges waste.
        """
        costs = {}
        for wide in range(1, MOST_WIDE + 1):
            columns = wide * processor.lanes
            for rows in range(1, min(MOST_ROWS, shape.queries) + 1):
                sums = rows * wide
                if sums + wide + 1 > processor.registers:
                    continue
                waste = sum(
                    part.count * max(part.size, ceil_div(8, wide))
                    for part in sections(shape.queries, rows)
                )
                waste *= sum(ceil_div(n, columns) * columns for n in (shape.keys, shape.depth))
                costs[cls(rows, columns)] = waste * max(1.0, (rows + wide) / sums, 8 / sums)
        return tuple(sorted(costs, key=lambda tile: (costs[tile], -tile.rows * tile.columns)))

    def kernel(self, shape: AttentionShape, processor: Processor) -> tvm.tirx.PrimFunc:
        """Return the kernel: Q, K, V, mask if any, result; all flat.

        A buffer that holds several of Q, K and V is given as often.
        """
        operands = {"query": shape.query, "key": shape.key, "value": shape.value}
        if shape.mask is not None:
            operands["mask"] = shape.mask
        operands["result"] = shape.result

        heads = shape.batch * shape.heads
        chunks = processor.threads // math.gcd(heads, processor.threads)

        def body(*buffers: Any) -> None:
            named_buffers = dict(zip(operands, buffers, strict=True))
            with loop(heads * chunks, shared=processor.threads > 1) as task:
                which = task // chunks
                _Head(
                    tile=self,
                    shape=shape,
                    vectors=Vectors(processor.lanes),
                    buffers=named_buffers,
                    batch=which // shape.heads,
                    head=which % shape.heads,
                    chunk=task % chunks,
                    chunks=chunks,
                ).emit()

        arguments = {name: (operand.extent,) for name, operand in operands.items()}
        return kernel(arguments, body)


@dataclass(frozen=True, kw_only=True)
class _Head:
    """One head of a kernel in the making, or one of the chunks that its queries are cut into.

    Chunks even out what threads do where heads do not share out evenly among them; each
    packs the keys and values for itself.
    """

    tile: Attention
    shape: AttentionShape
    vectors: Vectors
    buffers: dict[str, Any]
    batch: Any
    head: Any
    chunk: Any
    chunks: int

    def emit(self) -> None:
        """Pack keys and values; then, tile by tile of queries, scores, softmax and results."""
        shape, lanes = self.shape, self.vectors.lanes
        width = ceil_div(shape.keys, lanes) * lanes
        keys = workspace(width * shape.size)
        values = workspace(ceil_div(shape.depth, lanes) * lanes * shape.keys)
        self._pack(keys, "key", (shape.keys, shape.size), rows_are_columns=True)
        self._pack(values, "value", (shape.depth, shape.keys), rows_are_columns=False)
        scores, shares = workspace(self.tile.rows * width), scratch(self.tile.rows)
        for part in sections(shape.queries, self.tile.rows):
            with self._tiles(part.count) as i:
                row = part.first + i * part.size
                self._scores(scores, keys, width, part.size, row)
                with loop(part.size) as r:
                    store(shares, self._softmax(scores, width, r, row), r)
                self._mix(scores, values, width, row, [shares[r] for r in range(part.size)])

    @contextmanager
    def _tiles(self, count: int) -> Iterator[Any]:
        """Give a loop over the tiles of a section that belong to this chunk."""
        each = ceil_div(count, self.chunks)
        with loop(each) as turn:
            tile = self.chunk * each + turn
            with guard(tile < count) if each * self.chunks > count else nullcontext():
                yield tile

    def _read(self, operand: str, row: Any, column: Any) -> Any:
        where: Strided = getattr(self.shape, operand)
        return self.buffers[operand][where.at(self.batch, self.head, row, column)]

    def _panels(self, columns: int) -> tuple[tuple[int, int, int], ...]:
        """Return first panel, panels and columns of the whole panels, and of a narrow one."""
        padded = ceil_div(columns, self.vectors.lanes) * self.vectors.lanes
        whole, narrow = divmod(padded, self.tile.columns)
        parts = ((0, whole, self.tile.columns), (whole, 1, narrow))
        return tuple(part for part in parts if part[1] and part[2])

    def _pack(
        self, packed: Any, operand: str, sizes: tuple[int, int], *, rows_are_columns: bool
    ) -> None:
        """Write an operand in panels ``(depth, columns of the tile)``, zeros behind it."""
        columns, depth = sizes
        for first, count, width in self._panels(columns):
            with loop(count) as panel, loop(depth) as k, loop(width) as v:
                column = (first + panel) * self.tile.columns + v
                place = (k, column) if not rows_are_columns else (column, k)
                number = self._read(operand, *place)
                if (first + count - 1) * self.tile.columns + width > columns:
                    number = tirx.if_then_else(column < columns, number, zero())
                begin = (first + panel) * (self.tile.columns * depth)
                store(packed, number, begin + k * width + v)

    def _scores(self, scores: Any, keys: Any, width: int, rows: int, row: Any) -> None:
        """Write the products of some queries and all keys."""
        lanes, size = self.vectors.lanes, self.shape.size
        for first, count, columns in self._panels(self.shape.keys):
            with loop(count) as panel:
                place = first + panel
                begin = named(place * (self.tile.columns * size))
                sums = self.vectors.sums(
                    rows,
                    columns // lanes,
                    size,
                    lambda r, k: self._read("query", row + r, k),
                    self._panel(keys, begin, columns),
                )
                for r in range(rows):
                    for w in range(columns // lanes):
                        at = place * self.tile.columns + w * lanes
                        self.vectors.store(scores, sums[r][w], r * width + at)

    def _panel(self, packed: Any, begin: Any, columns: int) -> Callable[[Any, int], Any]:
        return lambda k, w: self.vectors.load(
            packed, begin + k * columns + w * self.vectors.lanes
        )

    def _softmax(self, scores: Any, width: int, r: Any, row: Any) -> Any:
        """Scale and mask a row of scores, raise e to them; return one by their sum."""
        first, keys = r * width, self.shape.keys

        def finish(by: Vectors, at: Any) -> None:
            value = by.load(scores, first + at)
            value = value * by.spread(tirx.const(self.shape.scale, "float32"))
            if self.shape.mask is not None:
                value = value + self._mask(by, row + r, at)
            by.store(scores, value, first + at)

        Row(self.vectors, keys).each(finish)
        if keys < width:
            with loop(width - keys) as rest:
                store(scores, tirx.const(LOWEST, "float32"), first + keys + rest)
        _, total = exponentials(
            Row(self.vectors, width),
            lambda by, at: by.load(scores, first + at),
            lambda by, at, value: by.store(scores, value, first + at),
        )
        return named(tirx.const(1.0, "float32") / total)

    def _mask(self, by: Vectors, row: Any, column: Any) -> Any:
        mask = self.shape.mask
        assert mask is not None
        place = mask.at(self.batch, self.head, row, column)
        if mask.strides[3]:
            return by.load(self.buffers["mask"], place)
        return by.spread(self.buffers["mask"][place])

    def _mix(self, scores: Any, values: Any, width: int, row: Any, shares: list[Any]) -> None:
        """Write the sums of values, each as its share says."""
        lanes, keys = self.vectors.lanes, self.shape.keys
        for first, count, columns in self._panels(self.shape.depth):
            with loop(count) as panel:
                place = first + panel
                begin = named(place * (self.tile.columns * keys))
                sums = self.vectors.sums(
                    len(shares),
                    columns // lanes,
                    keys,
                    lambda r, k: scores[r * width + k],
                    self._panel(values, begin, columns),
                )
                for r, share in enumerate(shares):
                    for w in range(columns // lanes):
                        column = place * self.tile.columns + w * lanes
                        self._write(sums[r][w] * self.vectors.spread(share), row + r, column)

    def _write(self, value: Any, row: Any, column: Any) -> None:
        """Write a vector of results, or what of it lies within the columns."""
        where, result = self.shape.result, self.buffers["result"]
        lanes = self.vectors.lanes
        if where.strides[3] == 1 and self.shape.depth % lanes == 0:
            place = where.at(self.batch, self.head, row, column)
            self.vectors.store(result, value, place)
            return
        elements = scratch(lanes)
        self.vectors.store(elements, value, 0)
        with loop(lanes) as lane, guard(column + lane < self.shape.depth):
            store(
                result,
                elements[lane],
                where.at(self.batch, self.head, row, column + lane),
            )

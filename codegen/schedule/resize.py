"""Resizing of an image whose channels come in blocks of one vector.

Every row and column of the output reads one or two of the input, at places and with shares
that tables tell: ONNX's many ways to align two grids are in the tables, not in the kernel.
Interpolation is separable; two rows can be mixed once for all columns that read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import tirx

from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.vectors import Vectors, kernel, loop, named, pays, scratch

MOST_LINE_BYTES = 1 << 15
"""What a row between two rows may take of the cache nearest to the core."""
COST = 8
"""Multiply-adds that take as long as an element of the output."""


@dataclass(frozen=True, kw_only=True)
class ResizeShape:
    """A resize of one image, all sizes fixed.

    Attributes:
        blocks: Blocks of channels.
        height: Rows of the input.
        width: Its columns.
        rows: Rows of the output.
        columns: Its columns.
        linear: Whether two neighbours are mixed; otherwise one is taken.
    """

    blocks: int
    height: int
    width: int
    rows: int
    columns: int
    linear: bool


@dataclass(frozen=True)
class Resize:
    """Where rows are mixed.

    Attributes:
        lanes: Numbers in a vector.
        threads: Threads that share the rows.
        line: Whether a whole row is mixed first and read by the columns then.
    """

    name: ClassVar[str] = "resize"
    lanes: int
    threads: int
    line: bool

    @classmethod
    def space(cls, shape: ResizeShape, processor: Processor) -> tuple[Resize, ...]:
        """Return every legal value, the most promising first."""
        line, apart = (cls(processor.lanes, processor.threads, way) for way in (True, False))
        if not shape.linear or 4 * shape.width * processor.lanes > MOST_LINE_BYTES:
            return (apart,)
        # An output that is much narrower than a line would mix what nobody reads.
        return (apart, line) if 2 * shape.columns < shape.width else (line, apart)

    def kernel(self, shape: ResizeShape) -> tvm.tirx.PrimFunc:
        """Return the kernel.

        It takes the image, ``(blocks, height, width, lanes)``; a table of rows, ``(2, rows)``:
        the first row that is read and the share of the one after it; the same of columns; and
        the output.
        """
        whole = (shape.blocks, shape.rows, shape.columns, self.lanes)
        arguments = {
            "image": (shape.blocks, shape.height, shape.width, self.lanes),
            "rows": (2, shape.rows),
            "columns": (2, shape.columns),
            "result": whole,
        }

        def body(image: Any, rows: Any, columns: Any, result: Any) -> None:
            cost = COST * shape.blocks * shape.rows * shape.columns * self.lanes
            shared, by = self.threads > 1 and pays(cost), Vectors(self.lanes)
            with loop(shape.blocks * shape.rows, shared=shared) as turn:
                block, row = turn // shape.rows, turn % shape.rows
                read = self._row(shape, image, block, rows, row)
                with loop(shape.columns) as column:
                    value = mixed(by, columns, column, shape.width, read, linear=shape.linear)
                    by.store(result, value, block, row, column, 0)

        return kernel(arguments, body)

    def _row(self, shape: ResizeShape, image: Any, block: Any, rows: Any, row: Any) -> Any:
        """Return how to read a column of one row of the output, not yet mixed across."""
        by = Vectors(self.lanes)

        def read(column: Any) -> Any:
            return mixed(
                by,
                rows,
                row,
                shape.height,
                lambda at: by.load(image, block, at, column, 0),
                linear=shape.linear,
            )

        if not self.line:
            return read
        line = scratch(shape.width * self.lanes)
        with loop(shape.width) as column:
            by.store(line, read(column), column * self.lanes)
        return lambda column: by.load(line, column * self.lanes)


def mixed(by: Vectors, table: Any, at: Any, size: int, read: Any, *, linear: bool) -> Any:
    """Return what a table's entry makes of one or two vectors.

    Args:
        by: The vectors.
        table: First places and shares of the places after them.
        at: The entry.
        size: How many places there are.
        read: Returns the vector at a place.
        linear: Whether there are two.
    """
    first = named(tirx.Cast("int32", table[0, at]))
    if not linear:
        return read(first)
    share = named(table[1, at])
    value = named(read(first))
    second = named(read(tirx.min(first + 1, size - 1)))
    rest = tirx.const(1.0, "float32") - share
    return value * by.spread(rest) + second * by.spread(share)

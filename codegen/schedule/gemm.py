"""Matrix times packed constant matrix, any number of rows.

The constant matrix lies in panels of a tile's columns, each row of a panel contiguous. A tile
of sums stays in registers over the whole depth; all rows pass over some panels, which stay in
the second-level cache, before the next panels are read (after Goto and van de Geijn, ACM TOMS
2008, without packing the left matrix, whose rows are read as they lie).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import tvm

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div
from suture.codegen.schedule.vectors import (
    LATENCY,
    Vectors,
    kernel,
    loop,
    named,
    pays,
    scratch,
    sections,
    store,
)

MOST_ROWS = 16
MOST_WIDE = 8
PANEL_BYTES = 256 * 1024
"""Panels that all rows pass over: half of a common second-level cache."""
BYTES_A_CYCLE = 16
"""What the second-level cache delivers besides multiply-adds, measured on Zen 3."""
TURNAROUND = 24
"""Cycles to begin and end a tile."""


@dataclass(frozen=True, kw_only=True)
class GemmShape:
    """``(rows, depth)`` times ``(depth, columns)``."""

    rows: int
    depth: int
    columns: int


@dataclass(frozen=True)
class Gemm:
    """A tile of accumulators and how many panels stay in cache.

    Attributes:
        rows: Rows of a tile.
        columns: Columns of a tile, a multiple of the lanes.
        panels: Panels that all rows pass over before the next are read; a divisor of the
            number of whole panels.
    """

    name: ClassVar[str] = "gemm"
    rows: int
    columns: int
    panels: int

    @classmethod
    def space(cls, shape: GemmShape, processor: Processor) -> tuple[Gemm, ...]:
        """Return every legal tile, the most promising first by formula."""
        vectors = ceil_div(shape.columns, processor.lanes)
        found = {}
        for wide in range(1, min(MOST_WIDE, vectors) + 1):
            columns = wide * processor.lanes
            whole = max(1, shape.columns // columns)
            panels = _panels(shape, columns, whole, processor.threads)
            for rows in range(1, min(MOST_ROWS, shape.rows) + 1):
                if rows * wide + wide + 1 <= processor.registers:
                    found[cls(rows, columns, panels)] = _cycles(
                        shape, rows, wide, processor.lanes
                    )
        return tuple(sorted(found, key=lambda tile: (found[tile], tile.rows, tile.columns)))

    def pack(
        self, weights: npt.NDArray[np.float32], shape: GemmShape, processor: Processor
    ) -> npt.NDArray[np.float32]:
        """Return weights ``(depth, columns)`` as the kernel reads them, flat.

        The last panel is as narrow as whole vectors allow.
        """
        padded = ceil_div(shape.columns, processor.lanes) * processor.lanes
        whole = np.zeros((shape.depth, padded), np.float32)
        whole[:, : shape.columns] = weights
        panels = [
            whole[:, first : first + self.columns].reshape(-1)
            for first in range(0, padded, self.columns)
        ]
        return np.concatenate(panels)

    def kernel(
        self, shape: GemmShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the kernel: input, packed weights, bias and residual if any, output."""
        padded = ceil_div(shape.columns, processor.lanes) * processor.lanes
        whole = (shape.rows, shape.columns)
        arguments = {"left": (shape.rows, shape.depth), "right": (shape.depth * padded,)}
        if epilogue.bias:
            arguments["bias"] = (shape.columns,)
        if epilogue.residual:
            arguments["residual"] = whole
        arguments["result"] = whole

        def body(left: Any, right: Any, *rest: Any) -> None:
            bias = rest[0] if epilogue.bias else None
            residual = rest[-2] if epilogue.residual else None
            tile = _Tile(
                vectors=Vectors(processor.lanes),
                shape=shape,
                epilogue=epilogue,
                panel=self.columns,
                left=left,
                right=right,
                bias=bias,
                residual=residual,
                result=rest[-1],
            )
            shared = processor.threads > 1 and pays(shape.rows * shape.depth * padded)
            self._loops(tile, padded, shared=shared)

        return kernel(arguments, body)

    def _loops(self, tile: _Tile, padded: int, *, shared: bool) -> None:
        """Emit the loops over panels, rows and panels again; then the narrow last panel.

        Threads share blocks of panels where there are several, else tiles of rows.
        """
        shape = tile.shape
        whole = shape.columns // self.columns
        blocks = whole // self.panels
        parts = sections(shape.rows, self.rows)
        if whole:
            with loop(blocks, shared=shared and blocks > 1) as block:
                for part in parts:
                    by_rows = shared and blocks == 1 and part.count > 1
                    with loop(part.count, shared=by_rows) as i, loop(self.panels) as j:
                        row = part.first + i * part.size
                        tile.emit(part.size, self.columns, row, block * self.panels + j)
        if shape.columns % self.columns:
            for part in parts:
                with loop(part.count, shared=shared and part.count > 1) as i:
                    row = part.first + i * part.size
                    tile.emit(part.size, padded - whole * self.columns, row, whole)


@dataclass(frozen=True, kw_only=True)
class _Tile:
    """What a tile of a kernel in the making reads and writes."""

    vectors: Vectors
    shape: GemmShape
    epilogue: Epilogue
    panel: int
    left: Any
    right: Any
    bias: Any
    residual: Any
    result: Any

    def emit(self, rows: int, columns: int, row: Any, panel: Any) -> None:
        """Emit a tile that begins at a row and a panel."""
        lanes, depth = self.vectors.lanes, self.shape.depth
        begin = named(panel * (depth * self.panel))
        sums = self.vectors.sums(
            rows,
            columns // lanes,
            depth,
            lambda r, k: self.left[row + r, k],
            lambda k, w: self.vectors.load(self.right, begin + k * columns + w * lanes),
        )
        for w in range(columns // lanes):
            column = panel * self.panel + w * lanes
            for r in range(rows):
                if isinstance(panel, int) and column + lanes > self.shape.columns:
                    self._write_elements(sums[r][w], row + r, column)
                else:
                    self._write(sums[r][w], row + r, column)

    def _write(self, value: Any, row: Any, column: Any) -> None:
        """Finish and write a vector."""
        finished = self.epilogue.apply(
            value,
            lambda: self.vectors.load(self.bias, column),
            lambda: self.vectors.load(self.residual, row, column),
        )
        self.vectors.store(self.result, finished, row, column)

    def _write_elements(self, value: Any, row: Any, column: int) -> None:
        """Finish and write what of a vector lies within the columns."""
        elements = scratch(self.vectors.lanes)
        self.vectors.store(elements, value, 0)
        with loop(self.shape.columns - column) as lane:
            finished = self.epilogue.apply(
                elements[lane],
                lambda: self.bias[column + lane],
                lambda: self.residual[row, column + lane],
            )
            store(self.result, finished, row, column + lane)


def _panels(shape: GemmShape, columns: int, whole: int, threads: int) -> int:
    """Return how many of the whole panels rows pass over at a time.

    As many as fit into the cache; where threads share them, as many blocks as share out
    evenly, if there is such a number.
    """
    most = max(1, PANEL_BYTES // (shape.depth * columns * 4))
    fit = [n for n in range(1, whole + 1) if whole % n == 0 and n <= most]
    even = [n for n in fit if (whole // n) % threads == 0]
    return max(even or fit)


def _cycles(shape: GemmShape, rows: int, wide: int, lanes: int) -> float:
    """Return about how many cycles a tile size takes for the whole product.

    Two multiply-adds and two loads start each cycle, a sum waits four cycles for its last
    product, and what is read of both matrices comes from the second-level cache.
    """
    vectors = ceil_div(shape.columns, lanes)
    whole, narrow = divmod(vectors, wide)
    total = 0.0
    for part in sections(shape.rows, rows):
        for width, times in ((wide, whole), (narrow, 1 if narrow else 0)):
            sums = part.size * width * max(1, min(LATENCY // (part.size * width or 1), 8))
            step = max(
                part.size * width / 2 * max(1.0, LATENCY / (sums or 1)),
                (part.size + width) / 2,
                (part.size + width * lanes) * 4 / BYTES_A_CYCLE,
            )
            total += part.count * times * (step * shape.depth + TURNAROUND)
    return total

"""Windows that slide over an image in blocks: what depthwise convolutions and pools share.

The image is read where it lies. Whether a tap falls beyond its border is asked only in the
tiles along the border: TVM splits the loops there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from tvm import tirx

from suture.codegen.schedule.base import Processor, ceil_div

MOST_UNROLLED = 25
"""Larger windows are loops, for the sake of the size of the code."""


class Windows(Protocol):
    """A shape whose windows slide over an image; all pairs are ``(height, width)``."""

    @property
    def height(self) -> int:
        """Input rows."""

    @property
    def width(self) -> int:
        """Input columns."""

    @property
    def kernel(self) -> tuple[int, int]:
        """Taps."""

    @property
    def strides(self) -> tuple[int, int]:
        """Steps of the window."""

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns that a window spans."""

    @property
    def pads(self) -> tuple[int, int, int, int]:
        """Rows above, columns left, rows below, columns right."""

    @property
    def out(self) -> tuple[int, int]:
        """Output rows and columns."""


def tile_rows(shape: Windows, processor: Processor) -> tuple[int, ...]:
    """Return the output pixels that a tile along a row may have, the most promising first.

    Each tap loads its own pixel and little depends on how many sums a tile has: tiles overlap
    as the processor reorders them.
    """
    pixels = shape.out[1]

    def cost(rows: int) -> float:
        return ceil_div(pixels, rows) * rows / pixels * (1 + 0.15 / rows)

    return tuple(sorted(range(1, min(processor.registers // 2, pixels) + 1), key=cost))


def within_borders(
    image: Any, shape: Windows, wide: int, outside: float = 0.0
) -> Callable[..., Any]:
    """Return how to read the image at a place of the padded one.

    Args:
        image: Channels in blocks.
        shape: The windows.
        wide: Output columns that the tiles cover.
        outside: What is read beyond the borders.
    """
    top, left = shape.pads[:2]
    below = (shape.out[0] - 1) * shape.strides[0] + shape.reach[0] - top > shape.height
    right = (wide - 1) * shape.strides[1] + shape.reach[1] - left > shape.width

    def read(c: Any, y: Any, x: Any, v: Any) -> Any:
        row, column = y - top, x - left
        asked = (
            (top > 0, row >= 0),
            (below, row < shape.height),
            (left > 0, column >= 0),
            (right, column < shape.width),
        )
        inside = [tirx.likely(condition) for needed, condition in asked if needed]
        value = image[c, row, column, v]
        other = tirx.const(outside, "float32")
        return tirx.if_then_else(tirx.all(*inside), value, other) if inside else value

    return read


def keep_rows_in_registers(schedule: Any, shape: Windows, rows: int) -> None:
    """Schedule the blocks ``sums`` and ``result``, both over blocks, rows, columns and lanes.

    Args:
        schedule: The reduction of ``sums`` is over taps, down and across.
        shape: The windows.
        rows: Output pixels of a tile.
    """
    sums, result = schedule.get_sblock("sums"), schedule.get_sblock("result")
    _, i, j, v = schedule.get_loops(result)
    run, pixel = schedule.split(j, [None, rows])
    schedule.compute_at(sums, run, preserve_unit_loops=True)
    schedule.set_scope(sums, 0, "local")
    for loop in (i, run):
        schedule.annotate(loop, "pragma_loop_partition_hint", True)
    block, line, j, lane, y, x = schedule.get_loops(sums)[3:]
    schedule.reorder(y, x, block, line, j, lane)
    for loop, size in ((y, math.prod(shape.kernel)), (x, shape.kernel[1])):
        if size <= MOST_UNROLLED:
            schedule.unroll(loop)
    for loop in (j, pixel):
        schedule.unroll(loop)
    for loop in (lane, v):
        schedule.vectorize(loop)
    # Vectorising asks for a whole reduction block: this comes last.
    schedule.decompose_reduction(sums, y)

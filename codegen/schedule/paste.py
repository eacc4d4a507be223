"""Images put together from strips of rows, with channels in blocks of one vector.

Within a block of channels a strip lies in one piece, the same of all blocks do not: each is
copied, by the program's plan as soon as the strip is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import tvm

from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.vectors import Vectors, kernel, loop

PASTE = "suture.paste"
"""Marks a kernel that puts strips together. The program's plan copies each as soon as it is
made, and calls nothing: no strip lives until the last one is there."""


@dataclass(frozen=True, kw_only=True)
class PasteShape:
    """Strips of one image, all sizes fixed.

    Attributes:
        blocks: Blocks of channels.
        rows: Rows of each strip, from above.
        columns: Columns of all.
    """

    blocks: int
    rows: tuple[int, ...]
    columns: int


@dataclass(frozen=True)
class Paste:
    """A vector at a time.

    Attributes:
        lanes: Numbers in a vector.
    """

    name: ClassVar[str] = "paste"
    lanes: int

    @classmethod
    def space(cls, shape: PasteShape, processor: Processor) -> tuple[Paste, ...]:
        """Return the only way there is."""
        return (cls(processor.lanes),)

    def kernel(self, shape: PasteShape) -> tvm.tirx.PrimFunc:
        """Return the kernel: strips ``(blocks, rows, columns, lanes)``, then all of them."""
        arguments = {
            f"strip{number}": (shape.blocks, rows, shape.columns, self.lanes)
            for number, rows in enumerate(shape.rows)
        }
        arguments["result"] = (shape.blocks, sum(shape.rows), shape.columns, self.lanes)

        def body(*buffers: Any) -> None:
            by, first = Vectors(self.lanes), 0
            *strips, result = buffers
            for strip, rows in zip(strips, shape.rows, strict=True):
                with (
                    loop(shape.blocks) as block,
                    loop(rows) as row,
                    loop(shape.columns) as column,
                ):
                    value = by.load(strip, block, row, column, 0)
                    by.store(result, value, block, first + row, column, 0)
                first += rows

        return kernel(arguments, body).with_attr(PASTE, True)

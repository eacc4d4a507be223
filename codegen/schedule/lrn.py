"""Local response normalisation over channels in blocks of one vector.

``x / (bias + alpha / size * s) ** beta`` with ``s`` the sum of squares over ``size``
neighbouring channels (Krizhevsky et al., NeurIPS 2012; ONNX's ``LRN``). The squares of some
pixels lie one after the other in the order of their channels, so that a vector of neighbours
is one unaligned load; powers are square roots.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import s_tir, te, tirx

from suture.codegen.schedule.base import Epilogue, Processor, ceil_div, finished

MOST_ROWS = 16
POWERS = (0.5, 0.75, 1.0)
"""Values of beta that square roots can make."""


@dataclass(frozen=True, kw_only=True)
class LrnShape:
    """A normalisation of one image, all sizes fixed.

    Attributes:
        channels: How many there are.
        pixels: Height times width.
        size: Channels of a neighbourhood.
        alpha: As in ONNX.
        beta: One of ``POWERS``.
        bias: As in ONNX.
    """

    channels: int
    pixels: int
    size: int
    alpha: float
    beta: float
    bias: float

    def fits(self, processor: Processor) -> bool:
        """Whether the rule knows the power and a neighbourhood reaches one block far."""
        return self.beta in POWERS and self.size // 2 <= processor.lanes


@dataclass(frozen=True)
class Lrn:
    """How many pixels are squared before they are summed.

    Attributes:
        rows: Pixels at a time.
    """

    name: ClassVar[str] = "lrn"
    rows: int

    @classmethod
    def space(cls, shape: LrnShape, processor: Processor) -> tuple[Lrn, ...]:
        """Return every legal value, the most promising first: whole cache lines, no waste."""
        if not shape.fits(processor):
            return ()

        def cost(rows: int) -> float:
            waste = ceil_div(shape.pixels, rows) * rows / shape.pixels
            return waste * (1 + 1 / rows)

        return tuple(map(cls, sorted(range(1, min(MOST_ROWS, shape.pixels) + 1), key=cost)))

    def kernel(
        self, shape: LrnShape, epilogue: Epilogue, processor: Processor
    ) -> tvm.tirx.PrimFunc:
        """Return the scheduled kernel: input, output, both ``(blocks, pixels, lanes)``."""
        lanes, blocks = processor.lanes, ceil_div(shape.channels, processor.lanes)
        image = te.placeholder((blocks, shape.pixels, lanes), name="image")
        last = shape.pixels - 1
        covered = ceil_div(shape.pixels, self.rows) * self.rows

        def square(p: Any, c: Any) -> Any:
            # A block of zeros lies before the first channel and one behind the last.
            block, pixel = c // lanes - 1, te.min(p, last) if covered > last + 1 else p
            value = image[block, pixel, c % lanes]
            zero, squared = tirx.const(0.0, "float32"), value * value
            if shape.channels % lanes:
                # Whatever a function made of a twin's padding is no neighbour.
                squared = tirx.Select(c - lanes < shape.channels, squared, zero)
            return tirx.if_then_else(tirx.all(block >= 0, block < blocks), squared, zero)

        squares = te.compute((covered, (blocks + 2) * lanes), square, name="squares")
        before = (shape.size - 1) // 2

        def finish(b: Any, p: Any, v: Any) -> Any:
            first = (b + 1) * lanes + v - before
            total = squares[p, first]
            for step in range(1, shape.size):
                total = total + squares[p, first + step]
            base = tirx.const(shape.bias, "float32") + total * tirx.const(
                shape.alpha / shape.size, "float32"
            )
            return epilogue.apply(image[b, p, v] / _power(base, shape.beta), None, None)

        result = te.compute((blocks, shape.pixels, lanes), finish, name="result")
        schedule = s_tir.Schedule(te.create_prim_func([image, result]))
        self._schedule(schedule, lanes)
        return finished(schedule)

    def _schedule(self, schedule: Any, lanes: int) -> None:
        squares, result = schedule.get_sblock("squares"), schedule.get_sblock("result")
        b, p, v = schedule.get_loops(result)
        run, pixel = schedule.split(p, [None, self.rows])
        schedule.reorder(run, b, pixel, v)
        schedule.compute_at(squares, run, preserve_unit_loops=True)
        schedule.set_scope(squares, 0, "local")
        row, channel = schedule.get_loops(squares)[1:]
        block, lane = schedule.split(channel, [None, lanes])
        schedule.reorder(block, row, lane)
        for loop in (lane, v):
            schedule.vectorize(loop)


def _power(base: Any, beta: float) -> Any:
    """Return a power of a positive number."""
    if beta == 1.0:
        return base
    root = te.sqrt(base)
    return root if beta == 0.5 else root * te.sqrt(root)

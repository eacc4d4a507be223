"""Softmax and its logarithm over rows in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import tirx

from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.rows import LOWEST, Row, added, larger
from suture.codegen.schedule.vectors import Vectors, kernel, loop, named, pays

COST = 16
"""About how many multiply-adds a number takes as long as."""


@dataclass(frozen=True, kw_only=True)
class SoftmaxShape:
    """Rows, each of which is to add up to one.

    Attributes:
        rows: How many.
        columns: Numbers in a row.
        logarithm: Whether the logarithms are wanted.
    """

    rows: int
    columns: int
    logarithm: bool = False


def exponentials(row: Row, read: Callable[[Vectors, Any], Any], write: Any) -> tuple[Any, Any]:
    """Emit e^(x - largest x) over a row; return the largest and the sum of them.

    A row that holds not-a-number, or of minus infinity alone, sums to not-a-number.

    Args:
        row: The row.
        read: Gives what is at a place.
        write: Takes the exponential at a place; None where only the sum is wanted.
    """
    largest = row.fold(read, larger, LOWEST)

    def term(by: Vectors, at: Any) -> Any:
        value = named(tirx.exp(read(by, at) - by.spread(largest)))
        if write is not None:
            write(by, at, value)
        return value

    return largest, row.fold(term, added, 0.0)


@dataclass(frozen=True)
class Softmax:
    """A row at a time, in vectors.

    Attributes:
        lanes: Numbers in a vector.
        threads: Threads that share the rows.
    """

    name: ClassVar[str] = "softmax"
    lanes: int
    threads: int = 1

    @classmethod
    def space(cls, shape: SoftmaxShape, processor: Processor) -> tuple[Softmax, ...]:
        """Return the only way there is."""
        return (cls(processor.lanes, processor.threads),)

    def kernel(self, shape: SoftmaxShape) -> tvm.tirx.PrimFunc:
        """Return the kernel: rows, output."""
        whole = (shape.rows, shape.columns)

        def body(source: Any, result: Any) -> None:
            shared = self.threads > 1 and pays(COST * shape.rows * shape.columns)
            with loop(shape.rows, shared=shared) as row:
                self._row(shape, row, source, result)

        return kernel({"source": whole, "result": whole}, body)

    def _row(self, shape: SoftmaxShape, row: Any, source: Any, result: Any) -> None:
        whole = Row(Vectors(self.lanes), shape.columns)

        def read(by: Vectors, at: Any) -> Any:
            return by.load(source, row, at)

        def write(by: Vectors, at: Any, value: Any) -> None:
            by.store(result, value, row, at)

        largest, total = exponentials(whole, read, None if shape.logarithm else write)
        if shape.logarithm:
            less = named(tirx.log(total))
            whole.each(
                lambda by, at: write(
                    by, at, read(by, at) - by.spread(largest) - by.spread(less)
                )
            )
        else:
            share = named(tirx.const(1.0, "float32") / total)
            whole.each(
                lambda by, at: write(by, at, by.load(result, row, at) * by.spread(share))
            )

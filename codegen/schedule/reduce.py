"""Rows of numbers, each reduced to one: sums, means, norms, extremes along the last axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import tvm
from tvm import tirx

from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.rows import Row, added, larger, smaller
from suture.codegen.schedule.vectors import Vectors, kernel, loop, named, pays, store

Kind = Literal["Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare"]
EXTREMES = {"Max": larger, "Min": smaller}


@dataclass(frozen=True, kw_only=True)
class ReduceShape:
    """Rows to reduce.

    Attributes:
        rows: How many.
        columns: Numbers in a row.
        kind: What is wanted of them, by the name of ONNX's operator behind ``Reduce``.
    """

    rows: int
    columns: int
    kind: Kind


@dataclass(frozen=True)
class Reduce:
    """A row at a time, in vectors.

    Attributes:
        lanes: Numbers in a vector.
        threads: Threads that share the rows.
    """

    name: ClassVar[str] = "reduce"
    lanes: int
    threads: int = 1

    @classmethod
    def space(cls, shape: ReduceShape, processor: Processor) -> tuple[Reduce, ...]:
        """Return the only way there is."""
        return (cls(processor.lanes, processor.threads),)

    def kernel(self, shape: ReduceShape) -> tvm.tirx.PrimFunc:
        """Return the kernel: rows, a number for each."""

        def body(source: Any, result: Any) -> None:
            shared = self.threads > 1 and pays(shape.rows * shape.columns)
            with loop(shape.rows, shared=shared) as row:
                store(result, self._row(shape, row, source), row)

        return kernel({"source": (shape.rows, shape.columns), "result": (shape.rows,)}, body)

    def _row(self, shape: ReduceShape, row: Any, source: Any) -> Any:
        whole = Row(Vectors(self.lanes), shape.columns)

        def term(by: Vectors, at: Any) -> Any:
            value = by.load(source, row, at)
            if shape.kind in ("L2", "SumSquare"):
                value = named(value)
                return value * value
            return tirx.abs(value) if shape.kind == "L1" else value

        if shape.kind in EXTREMES:
            # As in ONNX Runtime: what is no number is passed over, unless it comes first.
            return whole.fold(term, EXTREMES[shape.kind], named(source[row, 0]))
        total = whole.fold(term, added, 0.0)
        if shape.kind == "Mean":
            return total / tirx.const(float(shape.columns), "float32")
        return tirx.sqrt(total) if shape.kind == "L2" else total

"""Normalisation of rows: LayerNorm, RMSNorm, and InstanceNorm and GroupNorm seen as rows.

A row is read three times, from memory once: its mean, its variance about that mean, and what
is written. RMSNorm takes the mean for zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import tvm
from tvm import tirx

from suture.codegen.schedule.activation import number
from suture.codegen.schedule.base import Processor
from suture.codegen.schedule.rows import Row, added
from suture.codegen.schedule.vectors import Vectors, kernel, loop, named, pays

COST = 6
"""About how many multiply-adds a number takes as long as."""


@dataclass(frozen=True, kw_only=True)
class NormShape:
    """Rows to normalise.

    Attributes:
        rows: How many.
        columns: Numbers in a row.
        epsilon: Added to the variance.
        centred: Whether the mean is taken away.
        offset: Whether something is added at the end.
        channels: Channels in a row, each with a factor and an offset of its own; 0 where
            factors go with columns and are the same for every row.
    """

    rows: int
    columns: int
    epsilon: float
    centred: bool = True
    offset: bool = True
    channels: int = 0

    @property
    def factors(self) -> int:
        """How many factors there are."""
        return self.rows * self.channels or self.columns


@dataclass(frozen=True)
class Normalize:
    """A row at a time, in vectors.

    Attributes:
        lanes: Numbers in a vector.
        threads: Threads that share the rows.
    """

    name: ClassVar[str] = "normalize"
    lanes: int
    threads: int = 1

    @classmethod
    def space(cls, shape: NormShape, processor: Processor) -> tuple[Normalize, ...]:
        """Return the only way there is."""
        return (cls(processor.lanes, processor.threads),)

    def kernel(self, shape: NormShape) -> tvm.tirx.PrimFunc:
        """Return the kernel: rows, factors, offsets if any, output."""
        whole = (shape.rows, shape.columns)
        arguments = {"source": whole, "factor": (shape.factors,)}
        if shape.offset:
            arguments["offset"] = (shape.factors,)
        arguments["result"] = whole

        def body(source: Any, factor: Any, *rest: Any) -> None:
            offset = rest[0] if shape.offset else None
            shared = self.threads > 1 and pays(COST * shape.rows * shape.columns)
            with loop(shape.rows, shared=shared) as row:
                self._row(shape, row, source, factor, offset, rest[-1])

        return kernel(arguments, body)

    def _row(
        self, shape: NormShape, row: Any, source: Any, factor: Any, offset: Any, result: Any
    ) -> None:
        vectors = Vectors(self.lanes)
        whole = Row(vectors, shape.columns)
        share = tirx.const(1.0 / shape.columns, "float32")
        mean = tirx.const(0.0, "float32")
        if shape.centred:
            total = whole.fold(lambda by, at: by.load(source, row, at), added, 0.0)
            mean = named(total * share)

        def square(by: Vectors, at: Any) -> Any:
            distance = by.load(source, row, at) - by.spread(mean)
            return distance * distance

        variance = whole.fold(square, added, 0.0) * share
        spread = named(tirx.sqrt(variance + number(shape.epsilon, variance)))
        scale = named(tirx.const(1.0, "float32") / spread)
        channels = shape.channels or 1
        size = shape.columns // channels
        with loop(channels) as channel:

            def write(by: Vectors, at: Any) -> None:
                place = channel * size + at
                distance = by.load(source, row, place) - by.spread(mean)
                value = distance * by.spread(scale) * self._own(shape, factor, by, row, place)
                if offset is not None:
                    value = value + self._own(shape, offset, by, row, place)
                by.store(result, value, row, place)

            Row(vectors, size).each(write)

    def _own(self, shape: NormShape, values: Any, by: Vectors, row: Any, place: Any) -> Any:
        """Return the factors or offsets of a place."""
        if not shape.channels:
            return by.load(values, place)
        size = shape.columns // shape.channels
        return by.spread(values[row * shape.channels + place // size])

"""Passes over a row of numbers in memory, in vectors and the rest one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from tvm import tirx

from suture.codegen.schedule.vectors import Vectors, loop, named, scratch, store

SUMS = 4
"""Results under way at once: an addition takes as many cycles."""
LOWEST = -float("inf")


def larger(first: Any, second: Any) -> Any:
    """Return the larger of two numbers; the first where one is not a number."""
    return tirx.Select(first < second, second, first)


def smaller(first: Any, second: Any) -> Any:
    """Return the smaller of two numbers; the first where one is not a number."""
    return tirx.Select(second < first, second, first)


def added(first: Any, second: Any) -> Any:
    """Return the sum of two numbers."""
    return first + second


@dataclass(frozen=True)
class Row:
    """A row of numbers.

    Attributes:
        vectors: What it is read by.
        length: How many numbers it has.
    """

    vectors: Vectors
    length: int

    def each(self, visit: Callable[[Vectors, Any], None]) -> None:
        """Emit ``visit`` for every vector and every number left; it takes which and where."""
        lanes = self.vectors.lanes
        whole, rest = divmod(self.length, lanes)
        if whole:
            with loop(whole) as turn:
                visit(self.vectors, turn * lanes)
        if rest:
            with loop(rest) as turn:
                visit(Vectors(1), whole * lanes + turn)

    def fold(
        self,
        term: Callable[[Vectors, Any], Any],
        combine: Callable[[Any, Any], Any],
        initial: Any,
    ) -> Any:
        """Emit a reduction of the row; return the result, one number.

        Args:
            term: What is reduced, of a vector's or a number's place.
            combine: Joins two results or two vectors of them.
            initial: What leaves any term as it is, or one of the row's numbers where a
                number may count twice.
        """
        lanes = self.vectors.lanes
        whole, rest = divmod(self.length, lanes)
        parts = max(1, min(SUMS, whole))
        start = tirx.const(initial, "float32") if isinstance(initial, float) else initial
        sums = [self.vectors.register(self.vectors.spread(start)) for _ in range(parts)]

        def step(turn: Any, part: int) -> None:
            sums[part].set(combine(sums[part].get(), term(self.vectors, turn * lanes)))

        turns, left = divmod(whole, parts)
        if turns:
            with loop(turns) as turn:
                for part in range(parts):
                    step(turn * parts + part, part)
        for part in range(left):
            step(turns * parts + part, part)
        result = scratch(1)
        total = reduce(combine, (register.get() for register in sums))
        store(result, self.across(total, combine) if whole else start, 0)
        if rest:
            with loop(rest) as turn:
                value = combine(result[0], term(Vectors(1), whole * lanes + turn))
                store(result, value, 0)
        return named(result[0])

    def across(self, vector: Any, combine: Callable[[Any, Any], Any]) -> Any:
        """Emit a reduction of one vector's lanes; return the result."""
        lanes = self.vectors.lanes
        elements = scratch(lanes)
        self.vectors.store(elements, vector, 0)
        values = [elements[lane] for lane in range(lanes)]
        while len(values) > 1:
            half = len(values) // 2
            values = [combine(a, b) for a, b in zip(values[:half], values[half:], strict=True)]
        return named(values[0])

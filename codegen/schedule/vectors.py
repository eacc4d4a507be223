"""TensorIR written directly: vectors, and a tile of sums of products in registers.

Rules that would fight with schedule primitives (ragged edges, packing on the way, several
products in one kernel) write their loops themselves. Everything here must be called within
``kernel``, which collects the statements.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import tirx
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T  # noqa: N812 (TVM's own name for it)

from suture.codegen.schedule.base import mark

FLOAT = "float32"
LEAST_PRODUCTS = 1 << 17
"""Fewer multiply-adds are done by one thread: they take a few microseconds."""
LATENCY = 8
"""Multiply-adds under way at once: two start each cycle and each takes four."""


def kernel(
    arguments: Mapping[str, Sequence[int]], body: Callable[..., None]
) -> tvm.tirx.PrimFunc:
    """Return a finished kernel.

    Args:
        arguments: Names and shapes of its buffers, the one it writes last.
        body: Takes the buffers and emits the statements.
    """
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        buffers = [T.arg(n, T.buffer(tuple(shape), FLOAT)) for n, shape in arguments.items()]
        # Relax takes it for granted that a kernel is a block.
        with T.sblock("root"):
            T.reads()
            T.writes()
            body(*buffers)
    return mark(builder.get())


def loop(extent: int, *, shared: bool = False) -> Any:
    """Return a context that repeats its statements; its variable is what ``as`` binds.

    Args:
        extent: How often.
        shared: Whether threads share the rounds, which must not depend on each other.
    """
    return T.parallel(extent) if shared else T.serial(extent)


@contextlib.contextmanager
def guard(condition: Any) -> Iterator[None]:
    """Give a context whose statements run where a condition holds."""
    with T.If(condition), T.Then():
        yield


def pays(products: int) -> bool:
    """Whether a kernel of so many multiply-adds is worth sharing among threads."""
    return products >= LEAST_PRODUCTS


def named(value: Any) -> Any:
    """Return a value that is computed here and nowhere else."""
    return T.Bind(value)


def workspace(size: int) -> Any:
    """Return a buffer of float32 in memory."""
    return T.alloc_buffer((size,), FLOAT)


def scratch(size: int) -> Any:
    """Return a small buffer of float32 on the stack."""
    return T.alloc_buffer((size,), FLOAT, scope="local")


def store(buffer: Any, value: Any, *index: Any) -> None:
    """Write one element."""
    T.buffer_store(buffer, value, list(index))


def zero() -> Any:
    """Return zero."""
    return tirx.const(0.0, FLOAT)


@dataclass(frozen=True)
class Sections:
    """How a length is cut into tiles: ``count`` of one size from ``first`` on."""

    first: int
    size: int
    count: int


def sections(length: int, size: int) -> tuple[Sections, ...]:
    """Return the tiles of a length, of one size but for the last two, which share the rest.

    A tile of 6 and one of 1 take longer than two of 4 and 3: few sums leave the processor
    waiting for the last one.
    """
    count = math.ceil(length / size)
    if length == count * size:
        return (Sections(0, size, count),)
    if count == 1:
        return (Sections(0, length, 1),)
    whole = (count - 2) * size
    larger = math.ceil((length - whole) / 2)
    smaller = length - whole - larger
    tail = (
        (Sections(whole, larger, 2),)
        if larger == smaller
        else (Sections(whole, larger, 1), Sections(whole + larger, smaller, 1))
    )
    return (Sections(0, size, count - 2), *tail) if whole else tail


@dataclass(frozen=True)
class Vectors:
    """Vectors of one width, or single numbers.

    Attributes:
        lanes: float32 numbers in one.
    """

    lanes: int

    def at(self, first: Any) -> Any:
        """Return the indices of a vector's elements along the last axis."""
        return first if self.lanes == 1 else tirx.Ramp(first, 1, self.lanes)

    def load(self, buffer: Any, *index: Any) -> Any:
        """Return the vector that begins at an element."""
        return buffer[(*index[:-1], self.at(index[-1]))]

    def store(self, buffer: Any, value: Any, *index: Any) -> None:
        """Write a vector where an element begins."""
        T.buffer_store(buffer, value, [*index[:-1], self.at(index[-1])])

    def spread(self, value: Any) -> Any:
        """Return a vector of one number."""
        return value if self.lanes == 1 else tirx.Broadcast(value, self.lanes)

    def register(self, initial: Any) -> Register:
        """Return a vector that is kept in a register."""
        register = Register(T.alloc_buffer((1,), f"{FLOAT}x{self.lanes}", scope="local"))
        register.set(initial)
        return register

    def sums(
        self,
        rows: int,
        wide: int,
        depth: int,
        left: Callable[[int, Any], Any],
        right: Callable[[Any, int], Any],
    ) -> list[list[Any]]:
        """Emit a tile of sums of products; return them by row and vector.

        Args:
            rows: Rows of the tile.
            wide: Vectors of the tile.
            depth: Products in each sum.
            left: A row and a step to the number at it.
            right: A step and a vector's position to the vector at it.
        """
        parts = max(1, min(LATENCY // (rows * wide), depth))
        tiles = [
            [[self.register(self.spread(zero())) for _ in range(wide)] for _ in range(rows)]
            for _ in range(parts)
        ]

        def step(k: Any, tile: list[list[Register]]) -> None:
            vectors = [named(right(k, w)) for w in range(wide)]
            for row in range(rows):
                factor = named(self.spread(left(row, k)))
                for w in range(wide):
                    tile[row][w].set(tile[row][w].get() + factor * vectors[w])

        unrolled = max(4, parts)
        turns, rest = divmod(depth, unrolled)
        if turns:
            with loop(turns) as turn:
                for u in range(unrolled):
                    step(turn * unrolled + u, tiles[u % parts])
        for u in range(rest):
            step(turns * unrolled + u, tiles[u % parts])
        return [
            [named(sum_of([tile[row][w].get() for tile in tiles])) for w in range(wide)]
            for row in range(rows)
        ]


@dataclass(frozen=True)
class Register:
    """A vector in a register."""

    buffer: Any

    def get(self) -> Any:
        """Return what it holds."""
        return self.buffer[0]

    def set(self, value: Any) -> None:
        """Make it hold another value."""
        T.buffer_store(self.buffer, value, [0])


def sum_of(values: Sequence[Any]) -> Any:
    """Return a sum, added up in pairs."""
    if len(values) == 1:
        return values[0]
    half = len(values) // 2
    return sum_of(values[:half]) + sum_of(values[half:])

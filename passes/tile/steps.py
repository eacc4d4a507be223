"""Programs as steps that read and write tensors, or some rows of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import onnx_ir as ir

from suture.compiler.cost.nodes import NodeCost, Operation, Sizes, sizes_of
from suture.passes.tile.rows import ELEMENTWISE, Local, Rows

Kind = Literal["whole", "region", "part", "slice", "join"]

ROWS_AXIS = 2
SUMS = ("Conv", "ConvTranspose")
BLOCK = 8
"""Channels that lie together: compilers for vector units round up to as many."""


@dataclass(frozen=True)
class Piece:
    """Some rows of a value, as one strip has them; None for a value that is computed whole."""

    value: ir.Value
    rows: Rows | None = None
    strip: str = ""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.value, self.rows, self.strip)))

    def __hash__(self) -> int:
        return self._hash  # searches look pieces up millions of times

    @cached_property
    def sizes(self) -> Sizes:
        """Its sizes."""
        sizes = sizes_of(self.value)
        if self.rows is None:
            return sizes
        return (*sizes[:ROWS_AXIS], self.rows[1] - self.rows[0], *sizes[ROWS_AXIS + 1 :])

    @property
    def is_flat(self) -> bool:
        """Whether it is an image of one channel, whose rows lie one behind the other."""
        return len(self.sizes) == 4 and self.sizes[:2] == (1, 1)

    @cached_property
    def nbytes(self) -> int:
        """Size of the elements, channels in whole blocks; 0 where the shape is not known.

        One channel by itself is kept without the rest of its block.
        """
        shape, dtype = self.value.shape, self.value.dtype
        if shape is None or dtype is None or not shape.is_static():
            return 0
        sizes = list(self.sizes)
        if len(sizes) == 4 and not self.is_flat:
            sizes[1] = -(-sizes[1] // BLOCK) * BLOCK
        return int(math.prod(sizes) * dtype.itemsize)


@dataclass(frozen=True, eq=False)
class Step:
    """Something that a program does.

    Attributes:
        kind: A node as it is, or all strips of a region; within a strip, a node on some rows,
            a copy of some rows, or the strip put into its place.
        writes: What it makes.
        reads: What it reads, without constants.
        work: The operations that it consists of, and how often it does each.
        node: The node, or None for copies and regions.
        local: The node as one that works on rows, where it computes some.
        scratch: Bytes that live only while it runs.
        nodes: Of how many nodes it does the work.
        joins: Whether what it reads is written where it ends up in what it makes.
        overwrites: Whether it may write over what it reads.
    """

    kind: Kind
    writes: tuple[Piece, ...]
    reads: tuple[Piece, ...]
    work: tuple[tuple[Operation, int], ...]
    node: ir.Node | None = None
    local: Local | None = None
    scratch: int = 0
    nodes: int = 1
    joins: bool = field(init=False, default=False)
    overwrites: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        operator = self.node.op_type if self.node else ""
        flat = self.kind == "join" and self.writes[0].is_flat
        object.__setattr__(self, "joins", flat or operator == "Concat")
        object.__setattr__(self, "overwrites", operator in ELEMENTWISE)


def step_of(
    node: ir.Node, writes: tuple[Piece, ...], reads: tuple[Piece, ...], operation: Operation
) -> Step:
    """Return the step that computes a node's values as they are."""
    return Step(
        "whole", writes, reads, ((operation, 1),), node, None, scratch_of(node, writes)
    )


def scratch_of(node: ir.Node, writes: Sequence[Piece]) -> int:
    """Return the bytes of blocks of which one channel is kept, where a node makes no more."""
    if node.op_type not in SUMS:
        return 0
    return BLOCK * sum(piece.nbytes for piece in writes if piece.is_flat)


def copy_of(kind: Literal["slice", "join"], writes: Piece, reads: Piece) -> Step:
    """Return the step that copies some rows of a piece, or puts a strip into its place.

    Strips of one channel are written where they end up.
    """
    copied = (writes if kind == "slice" else reads).sizes
    moved = () if kind == "join" and writes.is_flat else (copied,)
    return Step(kind, (writes,), (reads,), ((Operation(reads=moved, writes=moved), 1),))


class Times:
    """Predicted microseconds of steps; about equal operations it asks once.

    Args:
        cost: What predicts them.
    """

    def __init__(self, cost: NodeCost) -> None:
        self._cost = cost
        self._operations: dict[Operation, float] = {}
        self._steps: dict[Step, float] = {}

    def total(self, steps: Sequence[Step]) -> float:
        """Return what a program is expected to take."""
        new = [step for step in steps if step not in self._steps]
        asked = dict.fromkeys(operation for step in new for operation, _ in step.work)
        unknown = [operation for operation in asked if operation not in self._operations]
        if unknown:
            # To a nanosecond: machines differ in the last digits, and must choose alike.
            found = (round(float(each), 3) for each in self._cost.microseconds(unknown))
            self._operations.update(zip(unknown, found, strict=True))
        for step in new:
            self._steps[step] = sum(
                self._operations[operation] * times for operation, times in step.work
            )
        return sum(self._steps[step] for step in steps)

"""Programs in which some tensors are computed a strip of rows at a time.

A region is what leads to one tensor, from tensors that are computed whole. Each strip of that
tensor is computed from the rows it needs; rows that two strips need are computed twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import onnx_ir as ir

from suture.passes.tile.rows import Local, Rows, height, local

Kind = Literal["whole", "part", "slice", "join"]


@dataclass(frozen=True)
class Piece:
    """Some rows of a value, as one strip has them; None for a value that is computed whole."""

    value: ir.Value
    rows: Rows | None = None
    strip: str = ""

    @cached_property
    def nbytes(self) -> int:
        """Size of the elements, channels in whole blocks; 0 where the shape is not known."""
        shape, dtype = self.value.shape, self.value.dtype
        if shape is None or dtype is None or not shape.is_static():
            return 0
        sizes = [int(size) for size in shape.numpy()]
        if len(sizes) == 4:
            sizes[1] = -(-sizes[1] // BLOCK) * BLOCK
        whole = math.prod(sizes) * dtype.itemsize
        if self.rows is None:
            return int(whole)
        return int(whole) // height(self.value) * (self.rows[1] - self.rows[0])


@dataclass(frozen=True)
class Step:
    """One operation of a program.

    Attributes:
        kind: A node as it is, a node on some rows, a copy of some rows, or strips put
            together.
        writes: What it makes.
        reads: What it reads, without constants.
        node: The node, or None for copies.
        work: Multiply-adds and elements.
        local: The node as one that works on rows, where it computes some.
        region: The output of the region that it is a part of.
    """

    kind: Kind
    writes: tuple[Piece, ...]
    reads: tuple[Piece, ...]
    node: ir.Node | None = None
    work: int = 0
    local: Local | None = None
    region: ir.Value | None = None

    @property
    def goal(self) -> ir.Value:
        """What is computed whole by it, alone or with the rest of a region."""
        return self.region or self.writes[0].value


@dataclass(frozen=True)
class Region:
    """What is computed in strips.

    Attributes:
        output: The tensor that they are strips of.
        nodes: What leads to it, in an order in which they can run.
        sources: Tensors that are computed whole and read a strip at a time.
        strips: How many.
    """

    output: ir.Value
    nodes: tuple[Local, ...]
    sources: tuple[ir.Value, ...]
    strips: int

    @property
    def inside(self) -> set[ir.Value]:
        """What is computed in it."""
        return {node.output for node in self.nodes}

    @property
    def fits(self) -> bool:
        """Whether every strip can be computed."""
        if self.strips > height(self.output):
            return False
        return all(self.windows(rows) is not None for rows in self.cuts())

    @property
    def work(self) -> int:
        """Multiply-adds and elements of all strips, copies left out."""
        windows = [self.windows(rows) or {} for rows in self.cuts()]
        return sum(
            node.work_per_row * (found[node.output][1] - found[node.output][0])
            for found in windows
            for node in self.nodes
        )

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Its steps, strip after strip; the last puts them together."""
        steps: list[Step] = []
        joined = []
        for number, rows in enumerate(self.cuts()):
            strip = _Strip(self, f"{self.output.name}.{number}", rows)
            for node in self.nodes:
                strip.compute(node)
            steps += strip.steps
            joined.append(strip.piece(self.output))
        whole = Piece(self.output)
        return (
            *steps,
            Step("join", (whole,), tuple(joined), None, whole.nbytes // 4, None, self.output),
        )

    def cuts(self) -> list[Rows]:
        """Return the strips of the output, of one size but for the last."""
        total = height(self.output)
        size = -(-total // self.strips)
        return [(at, min(at + size, total)) for at in range(0, total, size)]

    def windows(self, rows: Rows) -> dict[ir.Value, Rows] | None:
        """Return which rows of every tensor some of the output need; None where none can."""
        found = {self.output: rows}
        for node in reversed(self.nodes):
            if node.output is not self.output:
                found[node.output] = node.whole_strides(found[node.output])
            seen = node.reads(found[node.output])
            if seen is None:
                return None
            for value in node.images:
                old = found.get(value, seen)
                found[value] = min(old[0], seen[0]), max(old[1], seen[1])
        return found


BLOCK = 8
"""Channels that lie together: compilers for vector units round up to as many."""
STRIP = "@rows"
"""Stands in the names of nodes that compute strips."""


def is_strip(node: ir.Node) -> bool:
    """Whether a node was made by cutting another into strips."""
    return STRIP in (node.name or "")


class Landscape:
    """What of a graph works on rows.

    Attributes:
        graph: The graph.
        local: The local nodes by what they compute.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        found = (local(node) for node in graph if not is_strip(node))
        self.local = {each.output: each for each in found if each is not None}
        self._order = {node: at for at, node in enumerate(graph)}
        self._whole = {node: self._step(node) for node in graph}

    def before(self, output: ir.Value, most_bytes: int) -> Region | None:
        """Return the region, in one strip, that leads to a tensor from small ones.

        Inputs of the model end it as well, and what no row can be computed alone of; None
        where it would hold fewer than two nodes.

        Args:
            output: The tensor.
            most_bytes: How large its sources may be.
        """
        nodes: set[Local] = set()
        sources: dict[ir.Value, None] = {}
        pending = [output]
        while pending:
            value = pending.pop()
            node = self.local.get(value)
            small = value is not output and Piece(value).nbytes <= most_bytes
            if small or node is None:
                sources[value] = None
            elif node not in nodes:
                nodes.add(node)
                pending += node.images
        if len(nodes) < 2:
            return None
        ordered = sorted(nodes, key=lambda each: self._order[each.node])
        return Region(output, tuple(ordered), tuple(sources), 1)

    def program(self, regions: Sequence[Region]) -> list[Step]:
        """Return the nodes in order, with regions in strips and without what is unread."""
        by_output = {region.output: region for region in regions}
        steps: list[Step] = []
        for node in self.graph:
            region = by_output.get(node.outputs[0]) if node.outputs else None
            steps += region.steps if region else [self._whole[node]]
        return _read(self.graph, steps)

    def _step(self, node: ir.Node) -> Step:
        read = tuple(
            Piece(value)
            for value in dict.fromkeys(node.inputs)
            if value is not None and value.const_value is None
        )
        known = self.local.get(node.outputs[0]) if node.outputs else None
        work = known.work_per_row * height(known.output) if known else 0
        return Step("whole", tuple(map(Piece, node.outputs)), read, node, work)


class _Strip:
    """The steps of one strip in the making."""

    def __init__(self, region: Region, name: str, rows: Rows) -> None:
        windows = region.windows(rows)
        assert windows is not None
        self.steps: list[Step] = []
        self._copies: set[Piece] = set()
        self._goal = region.output
        self._name, self._windows, self._sources = name, windows, region.sources

    def piece(self, value: ir.Value) -> Piece:
        """Return what the strip has of a tensor: all of a source."""
        if value in self._sources:
            return Piece(value)
        return Piece(value, self._windows[value], self._name)

    def compute(self, node: Local) -> None:
        """Add the steps that compute a node's rows."""
        made = self.piece(node.output)
        assert made.rows is not None
        seen = node.reads(made.rows)
        assert seen is not None
        read = tuple(self._rows(value, seen) for value in node.images)
        work = node.work_per_row * (made.rows[1] - made.rows[0])
        self.steps.append(Step("part", (made,), read, node.node, work, node, self._goal))

    def _rows(self, value: ir.Value, wanted: Rows) -> Piece:
        """Return some rows of a tensor, copied where the strip has more."""
        has = self.piece(value)
        if wanted == (has.rows or (0, height(value))):
            return has
        copy = Piece(value, wanted, f"{self._name}.copy")
        if copy not in self._copies:
            self._copies.add(copy)
            self.steps.append(
                Step("slice", (copy,), (has,), None, copy.nbytes // 4, None, self._goal)
            )
        return copy


def work_of(steps: Iterable[Step]) -> int:
    """Return the work of a program's steps."""
    return sum(step.work for step in steps)


def _read(graph: ir.Graph, steps: Sequence[Step]) -> list[Step]:
    """Return the steps that somebody reads the result of."""
    wanted = {Piece(value) for value in graph.outputs}
    kept = []
    for step in reversed(steps):
        if wanted.intersection(step.writes):
            kept.append(step)
            wanted.update(step.reads)
    return kept[::-1]

"""Programs in which some tensors are computed a strip of rows at a time.

A region is what leads to one tensor, from tensors that are computed whole. Each strip of that
tensor is computed from the rows it needs; rows that two strips need are computed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from suture.compiler.cost.nodes import Operation, as_it_is, sizes_of
from suture.passes.tile.peak import Memory, memory
from suture.passes.tile.rows import ELEMENTWISE, Local, Rows, height, local
from suture.passes.tile.steps import Piece, Step, copy_of, scratch_of, step_of


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
    def steps(self) -> Iterator[Step]:
        """The steps of all strips, one strip after the other, each then put into its place."""
        for number, rows in enumerate(self.cuts()):
            yield from strip_of(self, f"{self.output.name}.{number}", rows)

    @cached_property
    def step(self) -> Step:
        """All of it as one step, whose scratch is what the strip that needs the most needs."""
        alike: dict[tuple[object, ...], list[Rows]] = {}
        for rows in self.cuts():
            alike.setdefault(self._form(rows), []).append(rows)
        work: Counter[Operation] = Counter()
        scratch = 0
        for same in alike.values():
            strip = strip_of(self, str(self.output.name), same[0])
            for operation, count in (each for step in strip for each in step.work):
                work[operation] += count * len(same)
            scratch = max(scratch, memory(strip[:-1]).peak)
        reads, writes = tuple(map(Piece, self.sources)), (Piece(self.output),)
        done = tuple(work.items())
        return Step("region", writes, reads, done, scratch=scratch, nodes=len(self.nodes))

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

    def _form(self, rows: Rows) -> tuple[object, ...]:
        """Return what strips have in common that do the same, each with rows of its own."""
        windows = self.windows(rows)
        assert windows is not None
        form: list[object] = []
        for node in self.nodes:
            made = windows[node.output]
            seen = node.reads(made)
            assert seen is not None
            form += [made[1] - made[0], seen[1] - seen[0], node.pads(made)]
            for value in node.images:
                has = windows[value]
                whole = seen == (0, height(value))
                inside = (seen[0] - has[0], has[1] - seen[1])
                form.append(whole if value in self.sources else inside)
        return tuple(form)


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
        places: What of that a region may end or begin at.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        found = (local(node) for node in graph if not is_strip(node))
        self.local = {each.output: each for each in found if each is not None}
        self.places = dict.fromkeys(each for each in self.local if not _goes_on(each))
        self._outputs = tuple(map(Piece, graph.outputs))
        self._order = {node: at for at, node in enumerate(graph)}
        self._steps = [(node.outputs[0], self._step(node)) for node in graph if node.outputs]

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
            small = value in self.places and Piece(value).nbytes <= most_bytes
            if node is None or (small and value is not output):
                sources[value] = None
            elif node not in nodes:
                nodes.add(node)
                pending += node.images
        if len(nodes) < 2:
            return None
        ordered = sorted(nodes, key=lambda each: self._order[each.node])
        return Region(output, tuple(ordered), tuple(sources), 1)

    def program(self, regions: Sequence[Region]) -> list[Step]:
        """Return the nodes in order, each region as one step, without what is unread."""
        by_output = {region.output: region for region in regions}
        wanted, kept = set(self._outputs), []
        for output, whole in reversed(self._steps):
            region = by_output.get(output)
            step = region.step if region else whole
            if any(piece in wanted for piece in step.writes):
                kept.append(step)
                wanted.update(step.reads)
        return kept[::-1]

    def memory(self, regions: Sequence[Region]) -> Memory:
        """Return what the program with some regions in strips needs."""
        return memory(self.program(regions), self._outputs)

    def _step(self, node: ir.Node) -> Step:
        read = tuple(
            Piece(value)
            for value in dict.fromkeys(node.inputs)
            if value is not None and value.const_value is None
        )
        return step_of(node, tuple(map(Piece, node.outputs)), read, as_it_is(node))


def _goes_on(value: ir.Value) -> bool:
    """Whether all that reads a value works on its elements, in the kernel that makes it."""
    readers = [use.node for use in value.uses()]
    alone = len(readers) == 1 and not value.is_graph_output()
    return alone and readers[0].op_type in ELEMENTWISE


def strip_of(region: Region, name: str, rows: Rows) -> list[Step]:
    """Return the steps of one strip; the last puts it into its place."""
    strip = _Strip(region, name, rows)
    for node in region.nodes:
        strip.compute(node)
    made = strip.piece(region.output)
    return [*strip.steps, copy_of("join", Piece(region.output), made)]


class _Strip:
    """The steps of one strip in the making."""

    def __init__(self, region: Region, name: str, rows: Rows) -> None:
        windows = region.windows(rows)
        assert windows is not None
        self.steps: list[Step] = []
        self._copies: set[Piece] = set()
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
        sizes = {value: piece.sizes for value, piece in zip(node.images, read, strict=True)}
        operation = Operation(
            node=node.node,
            reads=tuple(
                sizes.get(value, sizes_of(value)) if value else ()
                for value in node.node.inputs
            ),
            writes=(made.sizes,),
            pads=node.pads(made.rows),
        )
        scratch = scratch_of(node.node, (made,))
        work = ((operation, 1),)
        self.steps.append(Step("part", (made,), read, work, node.node, node, scratch))

    def _rows(self, value: ir.Value, wanted: Rows) -> Piece:
        """Return some rows of a tensor, copied where the strip has more."""
        has = self.piece(value)
        if wanted == (has.rows or (0, height(value))):
            return has
        copy = Piece(value, wanted, f"{self._name}.copy")
        if copy not in self._copies:
            self._copies.add(copy)
            self.steps.append(copy_of("slice", copy, has))
        return copy

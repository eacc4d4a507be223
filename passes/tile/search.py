"""Which regions of a graph to compute in strips, so that activations fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import onnx_ir as ir

from suture.passes.tile.peak import Memory
from suture.passes.tile.steps import Piece, Times
from suture.passes.tile.strips import Landscape, Region

STRIPS = (2, 4, 8, 16, 32)
LEAST_TIME = 0.01
"""Further time below this fraction counts as this much: predictions are no better."""
PARTS = (1.0, 0.85, 0.7, 0.55)
"""Of the limit, for which programs are looked for: ways to less may lead past better ones."""


@dataclass(frozen=True, eq=False)
class Program:
    """A graph with some regions in strips.

    Attributes:
        regions: The regions.
        memory: What it needs.
        microseconds: What it is expected to take.
    """

    regions: tuple[Region, ...]
    memory: Memory
    microseconds: float


class Search:
    """A search for regions, each of which lessens what is over a limit.

    Args:
        landscape: The graph.
        limit: What activations may take, in bytes.
        times: Predicts what programs take.
    """

    def __init__(self, landscape: Landscape, limit: int, times: Times) -> None:
        self._landscape, self._limit, self._times = landscape, limit, times
        self._families = list(self._find_families())
        self.whole = self.program(())

    def program(self, regions: tuple[Region, ...]) -> Program:
        """Return the graph with some regions in strips."""
        found = self._landscape.memory(regions)
        return Program(regions, found, self._times.total(found.steps))

    def run(self, extra: float) -> Program:
        """Return the fastest program found within the limit, or else that of the least peak.

        Args:
            extra: The most further time, as a fraction.
        """
        most_us = self.whole.microseconds * (1 + extra)
        found = [self._descend(part * self._limit, most_us) for part in PARTS]
        return min((self._improved(each, most_us) for each in found), key=self._rank)

    def _rank(self, program: Program) -> tuple[int, float]:
        """Return what is least of the best program: bytes over the limit, then time."""
        return max(0, program.memory.peak - self._limit), program.microseconds

    def _descend(self, limit: float, most_us: float) -> Program:
        """Add regions while they lessen what is over a limit, the best for its time first."""
        program = self.whole
        while program.memory.peak > limit:
            now, best, most = program.memory.excess(limit), program, 0.0
            for trial in self._next(program, limit, most_us):
                more = trial.microseconds - program.microseconds
                less = now - trial.memory.excess(limit)
                worth = less / max(more, LEAST_TIME * self.whole.microseconds)
                if worth > most:
                    best, most = trial, worth
            if best is program:
                break
            program = best
        return program

    def _next(self, program: Program, limit: float, most_us: float) -> Iterator[Program]:
        """Yield programs of one region more, or another one."""
        for family in self._families:
            output = family[0].output
            others = tuple(each for each in program.regions if each.output is not output)
            for candidate in family:
                trial = self.program((*others, candidate))
                if trial.microseconds > most_us:
                    break
                yield trial
                if trial.memory.during(output) <= limit:
                    break

    def _needed(self, program: Program) -> Program:
        """Return a program without the regions that others have made needless."""
        most = max(self._limit, program.memory.peak)
        for region in program.regions:
            less = self.program(tuple(each for each in program.regions if each is not region))
            if less.memory.peak <= most:
                program = less
        return program

    def _improved(self, program: Program, most_us: float) -> Program:
        """Return the best program that comes of changing one region after the other."""
        while True:
            program = self._needed(program)
            others = (
                each for each in self._neighbours(program) if each.microseconds <= most_us
            )
            better = min(others, key=self._rank, default=program)
            if self._rank(better) >= self._rank(program):
                return program
            program = better

    def _neighbours(self, program: Program) -> Iterator[Program]:
        """Yield programs with another region in the place of one."""
        for region in program.regions:
            others = tuple(each for each in program.regions if each is not region)
            for family in self._families:
                if family[0].output is region.output:
                    yield from (self.program((*others, each)) for each in family)

    def _find_families(self) -> Iterator[list[Region]]:
        """Yield what may become strips: regions alike but for the number of strips."""
        found: dict[tuple[ir.Value, frozenset[ir.Value]], Region] = {}
        sizes = sorted({Piece(value).nbytes for value in self._landscape.places})
        for value in self._landscape.places:
            if Piece(value).nbytes > self._limit:
                continue
            for most in (0, *(size for size in sizes if size <= self._limit)):
                region = self._landscape.before(value, most)
                if region is not None:
                    found.setdefault((value, frozenset(region.sources)), region)
        for each in found.values():
            family = [replace(each, strips=count) for count in STRIPS]
            fit = [region for region in family if region.fits]
            if fit:
                yield fit

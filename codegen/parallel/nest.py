"""What there is to share: the nests of loops at the top of a kernel."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import tvm
from tvm import s_tir, tirx

FLOPS_PER_US = 60e3
BYTES_PER_US = 15e3
"""What one thread does in a microsecond: much of an AVX2 core's peak, and of its memory's."""
DATA_PARALLEL = 0  # tirx.IterVar.iter_type


@dataclass(frozen=True)
class Nest:
    """Blocks under one loop at the top of a function.

    Attributes:
        schedule: What they are part of.
        blocks: In the order they run.
        loops: The loops around all of them, outermost first, up to the first that is
            annotated or no plain serial loop.
        single: Whether the last of ``loops`` runs one block and nothing else.
    """

    schedule: Any
    blocks: tuple[Any, ...]
    loops: tuple[Any, ...]
    single: bool

    @property
    def names(self) -> str:
        """The blocks' names."""
        return ", ".join(self.schedule.get(block).name_hint for block in self.blocks)

    def rounds(self, loop: Any) -> int:
        """Return how often a loop's body runs."""
        return int(self.schedule.get(loop).extent)

    def variable(self, loop: Any) -> Any:
        """Return the variable of a loop."""
        return self.schedule.get(loop).loop_var

    def microseconds(self) -> float:
        """Return about how long the nest takes one thread, by its arithmetic and traffic."""
        flops = float(s_tir.analysis.estimate_tir_flops(self.schedule.get(self.loops[0])))
        moved = sum(
            self.touched_bytes(block, buffer)
            for block in self.blocks
            for buffer in {region.source for region in self._regions(block)}
        )
        return max(flops / FLOPS_PER_US, moved / BYTES_PER_US)

    def common_bytes(self, loop: Any) -> int:
        """Return how much of what is read is the same in every round of a loop.

        Each thread that gets some of the rounds has to fetch it.
        """
        common = {}
        for block in self.blocks:
            realize = self.realize(block)
            moving = [
                axis.var for axis, value in axes(realize) if uses(value, [self.variable(loop)])
            ]
            for region in realize.block.reads:
                if not any(uses(each.min, moving) for each in region.region):
                    common[region.source] = self.touched_bytes(block, region.source)
        return sum(common.values())

    def touched_bytes(self, block: Any, buffer: Any) -> int:
        """Return how much of a buffer a block reads or writes at most."""
        steps = math.prod(self.rounds(loop) for loop in self.schedule.get_loops(block))
        size = math.prod(int(dim) for dim in buffer.shape)
        return min(size, steps) * int(tvm.DataType(str(buffer.dtype)).bits) // 8

    def realize(self, block: Any) -> Any:
        """Return the statement that binds a block's axes."""
        node = self.schedule.get(block)
        waiting = [self.schedule.get(self.schedule.get_loops(block)[-1]).body]
        while waiting:
            statement = waiting.pop()
            if isinstance(statement, s_tir.SBlockRealize):
                if statement.block.same_as(node):
                    return statement
            elif isinstance(statement, tirx.SeqStmt):
                waiting.extend(statement.seq)
        raise AssertionError(f"{node.name_hint} is bound nowhere")

    def _regions(self, block: Any) -> Iterator[Any]:
        node = self.schedule.get(block)
        yield from node.reads
        yield from node.writes


def axes(realize: Any) -> list[tuple[Any, Any]]:
    """Return a block's axes, each with the expression that it is bound to."""
    return list(zip(realize.block.iter_vars, realize.iter_values, strict=True))


def uses(value: Any, variables: Sequence[Any]) -> bool:
    """Whether an expression reads one of some variables."""
    free = tirx.analysis.undefined_vars(value)
    return any(variable.same_as(found) for variable in variables for found in free)


def nests(schedule: Any) -> list[Nest]:
    """Return a function's nests in the order they run; none where it holds no blocks."""
    try:
        root = schedule.get_sblock("root")
    except s_tir.ScheduleError:
        return []
    grouped: list[list[Any]] = []
    for block in schedule.get_child_blocks(root):
        loops = schedule.get_loops(block)
        if not loops:
            continue
        first = schedule.get(loops[0])
        if grouped and first.same_as(schedule.get(schedule.get_loops(grouped[-1][0])[0])):
            grouped[-1].append(block)
        else:
            grouped.append([block])
    return [made for blocks in grouped if (made := _nest(schedule, blocks)).loops]


def _nest(schedule: Any, blocks: list[Any]) -> Nest:
    chains = [schedule.get_loops(block) for block in blocks]
    loops = []
    for level in zip(*chains, strict=False):
        first = schedule.get(level[0])
        # An annotated loop is for a later pass, which must find it as it is.
        if first.kind != tirx.ForKind.SERIAL or first.annotations:
            break
        if not all(schedule.get(loop).same_as(first) for loop in level[1:]):
            break
        loops.append(level[0])
    single = len(blocks) == 1 and len(loops) == len(chains[0])
    return Nest(schedule, tuple(blocks), tuple(loops), single)

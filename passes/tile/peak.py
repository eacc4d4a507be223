"""The memory of tensors that live at the same time, as a program's plan would have it.

What works element by element writes over its input where nobody else reads that, and parts of
a concatenation of channels are written where they end up: compilers do both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import onnx_ir as ir

from suture.errors import Location
from suture.passes.base import Note
from suture.passes.tile.rows import ELEMENTWISE
from suture.passes.tile.strips import Piece, Step


@dataclass(frozen=True)
class Memory:
    """What a program needs.

    Attributes:
        nbytes: Bytes that live while each step runs, inputs of the model left out.
        steps: The steps.
    """

    nbytes: tuple[int, ...]
    steps: Sequence[Step]

    @property
    def peak(self) -> int:
        """The greatest."""
        return max(self.nbytes, default=0)

    def excess(self, limit: int) -> int:
        """Return by how much steps are over a limit, a region counting as one."""
        over: dict[ir.Value, int] = {}
        for now, step in zip(self.nbytes, self.steps, strict=True):
            if now > limit:
                over[step.goal] = max(over.get(step.goal, 0), now - limit)
        return sum(over.values())

    def within(self, goal: ir.Value) -> int:
        """Return the greatest while a region computes its output."""
        pairs = zip(self.nbytes, self.steps, strict=True)
        return max((now for now, step in pairs if step.goal is goal), default=0)


def memory(steps: Sequence[Step], outputs: Sequence[Piece] = ()) -> Memory:
    """Return what a program needs.

    Args:
        steps: In the order in which they run.
        outputs: What the caller keeps; its memory counts until the end.
    """
    homes = _homes(steps)
    first: dict[Piece, int] = {}
    last: dict[Piece, int] = {}
    for at, step in enumerate(steps):
        for piece in step.writes:
            home = homes.get(piece, piece)
            first.setdefault(home, at)
            last[home] = at
        for piece in step.reads:
            home = homes.get(piece, piece)
            if home in first:
                last[home] = at
    for piece in outputs:
        home = homes.get(piece, piece)
        if home in first:
            last[home] = len(steps) - 1
    change = [0] * (len(steps) + 1)
    for home, at in first.items():
        change[at] += home.nbytes
        change[last[home] + 1] -= home.nbytes
    return Memory(tuple(accumulate(change[:-1])), steps)


def still_over(graph: ir.Graph, before: int, after: int, limit: int) -> tuple[Note, ...]:
    """Return a note where a graph's activations still take more bytes than they may."""
    if after <= limit:
        return ()
    reason = (
        f"activations still take {after / 2**20:.1f} MiB in place of "
        f"{before / 2**20:.1f}, {limit / 2**20:g} are allowed"
    )
    return (Note(Location(graph.name or "model"), reason),)


def _homes(steps: Sequence[Step]) -> dict[Piece, Piece]:
    """Return whose memory each piece is written to, where that is not its own."""
    uses: dict[Piece, int] = {}
    for step in steps:
        for piece in step.reads:
            uses[piece] = uses.get(piece, 0) + 1
    made = {piece for step in steps for piece in step.writes}
    homes: dict[Piece, Piece] = {}
    for step in reversed(steps):
        if step.node is None:
            continue
        whole = step.writes[0]
        home = homes.get(whole, whole)
        if step.node.op_type == "Concat":
            for piece in step.reads:
                if piece in made and piece not in homes:
                    homes[piece] = home
        elif step.node.op_type in ELEMENTWISE:
            for piece in step.reads:
                alone = uses[piece] == 1 and piece.nbytes == whole.nbytes
                if alone and piece in made and piece not in homes:
                    homes[piece] = home
                    break
    return homes

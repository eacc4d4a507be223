"""The memory of tensors that live at the same time, as a program's plan would have it.

What works element by element writes over its input where nobody else reads that, and parts of
a concatenation of channels, or strips of one channel, are written where they end up: compilers
do both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import onnx_ir as ir

from suture.errors import Location
from suture.passes.base import Note
from suture.passes.tile.steps import Piece, Step


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

    def excess(self, limit: float) -> float:
        """Return by how much nodes are over a limit, all together."""
        pairs = zip(self.nbytes, self.steps, strict=True)
        return sum((now - limit) * step.nodes for now, step in pairs if now > limit)

    def during(self, output: ir.Value) -> int:
        """Return what lives while something is computed whole."""
        pairs = zip(self.nbytes, self.steps, strict=True)
        return max((now for now, step in pairs if step.writes[0].value is output), default=0)


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
    live = accumulate(change[:-1])
    found = (now + step.scratch for now, step in zip(live, steps, strict=True))
    return Memory(tuple(found), steps)


def still_over(
    graph: ir.Graph, before: int, after: int, limit: int, dear: str = ""
) -> tuple[Note, ...]:
    """Return a note where a graph's activations still take more bytes than they may.

    Args:
        graph: The graph.
        before: Bytes before the pass.
        after: Bytes after it.
        limit: Bytes that are allowed.
        dear: What less would take, where that does not pay.
    """
    if after <= limit:
        return ()
    reason = (
        f"activations still take {after / 2**20:.1f} MiB in place of "
        f"{before / 2**20:.1f}, {limit / 2**20:g} are allowed"
    )
    reason = f"{reason}; {dear}" if dear else reason
    return (Note(Location(graph.name or "model"), reason),)


def told_time(after_us: float, before_us: float) -> str:
    """Return the time that is expected of a program in parts, and that of the whole one."""
    ratio = after_us / before_us if before_us else 1.0
    return f"{after_us / 1e3:.3g} ms in place of {before_us / 1e3:.3g}, {ratio:.2f} of it"


def _homes(steps: Sequence[Step]) -> dict[Piece, Piece]:
    """Return whose memory each piece is written to, where that is not its own."""
    uses: dict[Piece, int] = {}
    for step in steps:
        for piece in step.reads:
            uses[piece] = uses.get(piece, 0) + 1
    made = {piece for step in steps for piece in step.writes}
    homes: dict[Piece, Piece] = {}
    for step in reversed(steps):
        if not (step.joins or step.overwrites):
            continue
        whole = step.writes[0]
        home = homes.get(whole, whole)
        for piece in step.reads:
            if piece not in made or piece in homes:
                continue
            if step.joins:
                homes[piece] = home
            elif uses[piece] == 1 and piece.nbytes == whole.nbytes:
                homes[piece] = home
                break
    return homes

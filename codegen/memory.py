"""Where buffers of activations live: aliases first, then offsets in one arena.

A buffer may be a part of another, as what is concatenated is of the result; then whoever
makes the part writes it into the result, and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ALIGNMENT = 64


def aligned(nbytes: int) -> int:
    """Return a size rounded up to whole cache lines."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Life:
    """A buffer's size and the calls between which its bytes matter, both included."""

    nbytes: int
    first: int
    last: int


class Buffers:
    """Buffers of a program, some of them parts of others."""

    def __init__(self) -> None:
        self._nbytes: list[int] = []
        self._parents: dict[int, tuple[int, int]] = {}

    def add(self, nbytes: int) -> int:
        """Return the number of a new buffer."""
        self._nbytes.append(nbytes)
        return len(self._nbytes) - 1

    def nbytes(self, buffer: int) -> int:
        """Return a buffer's size."""
        return self._nbytes[buffer]

    def join(self, part: int, whole: int, offset: int) -> bool:
        """Make one buffer a part of another; False where it is a part already."""
        if part in self._parents or self.root(whole)[0] == part:
            return False
        self._parents[part] = (whole, offset)
        return True

    def root(self, buffer: int) -> tuple[int, int]:
        """Return the buffer that a buffer is a part of, in the end, and where."""
        offset = 0
        while buffer in self._parents:
            buffer, more = self._parents[buffer]
            offset += more
        return buffer, offset


@dataclass(frozen=True)
class Arena:
    """Where buffers lie.

    Attributes:
        lives: The buffers.
        offsets: Of each, in bytes.
    """

    lives: tuple[Life, ...]
    offsets: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the whole."""
        ends = (
            at + aligned(life.nbytes)
            for life, at in zip(self.lives, self.offsets, strict=True)
        )
        return max(ends, default=0)


def place(lives: Sequence[Life]) -> Arena:
    """Return where buffers lie in one arena.

    The largest first, each at the lowest place where no buffer that lives at the same time is
    (greedy by size: Pisarchyk and Lee, arXiv:2001.03288).
    """
    offsets = [0] * len(lives)
    placed: list[int] = []
    for index in sorted(
        range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first, i)
    ):
        life, at = lives[index], 0
        rivals = [
            other
            for other in placed
            if lives[other].first <= life.last and life.first <= lives[other].last
        ]
        for other in sorted(rivals, key=lambda i: offsets[i]):
            if offsets[other] - at >= aligned(life.nbytes):
                break
            at = max(at, offsets[other] + aligned(lives[other].nbytes))
        offsets[index] = at
        placed.append(index)
    return Arena(tuple(lives), tuple(offsets))

"""Where buffers of activations live: aliases first, then offsets in one arena.

A buffer may be a part of another, as what is concatenated is of the result; then whoever
makes the part writes it into the result, and nothing is copied.
"""

from __future__ import annotations

from bisect import bisect_left, insort
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
        return max(self._ends(), default=0)

    def free_from(self, call: int) -> int:
        """Return the byte from which on nothing lies during a call."""
        pairs = zip(self.lives, self._ends(), strict=True)
        return max((end for life, end in pairs if life.first <= call <= life.last), default=0)

    def _ends(self) -> list[int]:
        return [
            at + aligned(life.nbytes)
            for life, at in zip(self.lives, self.offsets, strict=True)
        ]


def place(lives: Sequence[Life]) -> Arena:
    """Return where buffers lie in one arena.

    The largest first, each at the lowest place where no buffer that lives at the same time is
    (greedy by size: Pisarchyk and Lee, arXiv:2001.03288).
    """
    offsets = [0] * len(lives)
    placed = _Placed(max((life.last for life in lives), default=0) + 1)
    order = sorted(range(len(lives)), key=lambda i: (-lives[i].nbytes, lives[i].first, i))
    for rank, index in enumerate(order):
        life, at = lives[index], 0
        rivals = [order[other] for other in sorted(placed.beside(life))]
        for other in sorted(rivals, key=lambda i: offsets[i]):
            if offsets[other] - at >= aligned(life.nbytes):
                break
            at = max(at, offsets[other] + aligned(lives[other].nbytes))
        offsets[index] = at
        placed.add(rank, life)
    return Arena(tuple(lives), tuple(offsets))


class _Placed:
    """Buffers by when they live: a segment tree over calls, and their first calls in order.

    Args:
        calls: How many calls there are.
    """

    def __init__(self, calls: int) -> None:
        self._calls = calls
        self._spans: list[list[int]] = [[] for _ in range(2 * calls)]
        self._firsts: list[tuple[int, int]] = []

    def add(self, number: int, life: Life) -> None:
        """Add a buffer by a number of its own."""
        insort(self._firsts, (life.first, number))
        low, high = life.first + self._calls, life.last + 1 + self._calls
        while low < high:
            if low % 2:
                self._spans[low].append(number)
                low += 1
            if high % 2:
                high -= 1
                self._spans[high].append(number)
            low, high = low // 2, high // 2

    def beside(self, life: Life) -> list[int]:
        """Return the buffers that live at the same time as one, in any order, each once."""
        found: list[int] = []
        at = life.first + self._calls
        while at:
            found += self._spans[at]
            at //= 2
        begin = bisect_left(self._firsts, (life.first + 1,))
        end = bisect_left(self._firsts, (life.last + 1,))
        return found + [number for _, number in self._firsts[begin:end]]

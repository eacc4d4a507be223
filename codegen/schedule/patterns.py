"""How groups of a convolution lie in vectors, and how a row of its output is cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from suture.codegen.schedule.conv_shape import ConvShape
from suture.codegen.schedule.vectors import Sections, sections

MOST_PLACES = 96
"""Products of a row of the window and a channel that code of a tile of one pixel is for."""
MOST_STEPS = 56
"""Weights of a row of the window of all channels that code is written out for."""


@dataclass(frozen=True)
class Pattern:
    """How filters and the channels that they see lie in blocks, until it repeats.

    Code is written out for each block of it. Where that would be long, and groups are large,
    it is for any block, which works out where its groups begin.

    Attributes:
        blocks: Blocks of filters.
        seen: Blocks of channels; none where a block is any.
    """

    blocks: int
    seen: int

    @classmethod
    def of(cls, shape: ConvShape, lanes: int) -> Pattern:
        """Return the shortest one of a convolution."""
        seen, made = shape.channels // shape.groups, shape.filters // shape.groups
        found = next(
            cls(blocks, blocks * lanes // made * seen // lanes)
            for blocks in count(1)
            if blocks * lanes % made == 0 and blocks * lanes // made * seen % lanes == 0
        )
        long = found.blocks * shape.kernel[1] > MOST_PLACES
        return cls(1, 0) if made % lanes == 0 or (long and made > lanes) else found


def is_short(shape: ConvShape, lanes: int) -> bool:
    """Whether code is written out for each channel of a group, rather than a loop."""
    steps = shape.channels // shape.groups * shape.kernel[1]
    return Pattern.of(shape, lanes).blocks * steps <= MOST_STEPS


def products_by_column(shape: ConvShape, size: int) -> dict[int, list[tuple[int, int]]]:
    """Return which output pixels and taps of a tile's row meet at each column of the image.

    Columns are counted from the first one that the tile's window reaches.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    for pixel in range(size):
        for tap in range(shape.kernel[1]):
            column = pixel * shape.strides[1] + tap * shape.dilations[1]
            found.setdefault(column, []).append((pixel, tap))
    return dict(sorted(found.items()))


def cut_at_borders(shape: ConvShape, rows: int) -> Iterator[Sections]:
    """Yield the tiles of a row of the output; those that meet a border are alone."""
    step, left = shape.strides[1], shape.pads[1]
    for part in sections(shape.out[1], rows):
        inside: list[int] = []
        for first in range(part.first, part.first + part.count * part.size, part.size):
            begin = first * step - left
            end = begin + (part.size - 1) * step + shape.reach[1]
            if begin >= 0 and end <= shape.width:
                inside.append(first)
            else:
                yield Sections(first, part.size, 1)
        if inside:
            yield Sections(inside[0], part.size, len(inside))

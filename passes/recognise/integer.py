"""Convolutions that have kernels in 8 bits: of one group, or of a filter for each channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_TAPS = 2**24 // (255 * 128)
"""Products of 8-bit numbers whose sum float32 is sure to hold exactly; kernels of a filter for
each channel add up in it."""


def has_integer_kernel(weights: Sequence[int], groups: int) -> bool:
    """Whether a convolution of two axes can be computed in 8 bits.

    Args:
        weights: The shape of its weights, ``(filters, channels of a group, height, width)``.
        groups: Groups of channels.
    """
    filters, channels, *window = weights
    return groups == 1 or (
        (filters, channels) == (groups, 1) and math.prod(window) <= MOST_TAPS
    )

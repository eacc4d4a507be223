"""Winograd's transforms of one axis: weights as a matrix, images and sums as vector code.

``F(m, 3)`` computes m outputs of a filter of three taps with m + 2 multiplications
(Lavin & Gray, Fast Algorithms for Convolutional Neural Networks, CVPR 2016). The points are
0, 1, -1 and infinity, with 2 and -2 as well for F(4, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tvm.tirx.script.builder import ir as code

TAPS = 3
Vectors = Sequence[Any]


@dataclass(frozen=True)
class Transform:
    """F(m, 3) along one axis.

    Attributes:
        outputs: m.
        weights: The matrix G, ``(m + 2, 3)``.
        image: Returns Bᵀd of the m + 2 vectors d.
        sums: Returns Aᵀs of the m + 2 vectors s.
        taps: Returns g of the rows of Gg that are ``telling``: a left inverse of G.
    """

    outputs: int
    weights: npt.NDArray[np.float64]
    image: Callable[[Vectors], Vectors]
    sums: Callable[[Vectors], Vectors]
    taps: Callable[[Vectors], Vectors]

    @property
    def reads(self) -> int:
        """Input pixels of a tile along the axis: m + 2."""
        return self.outputs + TAPS - 1

    @property
    def telling(self) -> tuple[int, ...]:
        """Rows of Gg that tell g: for the points 0, 1, -1 and infinity."""
        return 0, 1, 2, self.reads - 1


def _image_2(d: Vectors) -> Vectors:
    return d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]


def _sums_2(s: Vectors) -> Vectors:
    return s[0] + s[1] + s[2], s[1] - s[2] - s[3]


def _taps_2(u: Vectors) -> Vectors:
    return u[0], u[1] - u[2], u[3]


def _image_4(d: Vectors) -> Vectors:
    even, odd = code.Bind(d[4] - 4.0 * d[2]), code.Bind(d[3] - 4.0 * d[1])
    outer, inner = code.Bind(d[4] - d[2]), code.Bind(d[3] - d[1])
    return (
        outer + 4.0 * (d[0] - d[2]),
        even + odd,
        even - odd,
        outer + 2.0 * inner,
        outer - 2.0 * inner,
        d[5] - d[3] - 4.0 * inner,
    )


def _sums_4(s: Vectors) -> Vectors:
    even, odd = code.Bind(s[1] + s[2]), code.Bind(s[1] - s[2])
    outer, inner = code.Bind(s[3] + s[4]), code.Bind(s[3] - s[4])
    return (
        s[0] + even + outer,
        odd + 2.0 * inner,
        even + 4.0 * outer,
        odd + 8.0 * inner + s[5],
    )


def _taps_4(u: Vectors) -> Vectors:
    return 4.0 * u[0], 3.0 * (u[2] - u[1]), u[3]


TRANSFORMS: Mapping[int, Transform] = {
    2: Transform(
        2,
        np.array([[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]]),
        _image_2,
        _sums_2,
        _taps_2,
    ),
    4: Transform(
        4,
        np.array(
            [
                [1 / 4, 0, 0],
                [-1 / 6, -1 / 6, -1 / 6],
                [-1 / 6, 1 / 6, -1 / 6],
                [1 / 24, 1 / 12, 1 / 6],
                [1 / 24, -1 / 12, 1 / 6],
                [0, 0, 1],
            ]
        ),
        _image_4,
        _sums_4,
        _taps_4,
    ),
}
"""m → F(m, 3)."""

"""What a cost model is: it predicts latency before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]
Vector = npt.NDArray[np.float64]

FEATURES = ("flops", "bytes", "nodes")
"""Columns of a feature matrix; ``Work.row`` gives one row."""


@dataclass(frozen=True)
class Work:
    """What one run of a model does, read from its graph.

    Attributes:
        flops: Floating-point operations, a multiply-add counted as two.
        nbytes: Bytes read and written by the nodes, weights included.
        nodes: Number of nodes.
    """

    flops: float
    nbytes: float
    nodes: float

    @property
    def row(self) -> Vector:
        """The features in the order of ``FEATURES``."""
        return np.array([self.flops, self.nbytes, self.nodes], np.float64)


class CostModel(Protocol):
    """Learns latency from features."""

    def fit(self, features: Matrix, latency_ms: Vector) -> Self:
        """Train on ``(rows, features)`` and the milliseconds of each row."""

    def predict(self, features: Matrix) -> Vector:
        """Return predicted milliseconds for each row."""

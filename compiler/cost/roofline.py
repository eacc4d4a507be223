"""Latency from FLOPs and bytes: the roofline (Williams, Waterman and Patterson, CACM 2009)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from suture.compiler.cost.base import Matrix, Vector

ROUNDS = 20


@dataclass(frozen=True)
class Roofline:
    """The slower of arithmetic and memory, and a fixed price for each node.

    Attributes:
        ms_per_flop: Time of one operation; the default is 20 GFLOP/s.
        ms_per_byte: Time to move one byte; the default is 8 GB/s.
        ms_per_node: Time to start one node.
    """

    ms_per_flop: float = 1e3 / 20e9
    ms_per_byte: float = 1e3 / 8e9
    ms_per_node: float = 2e-3

    def fit(self, features: Matrix, latency_ms: Vector) -> Self:
        """Return the roofline with the least squared relative error found.

        Each row is arithmetic-bound or memory-bound under the roofline before; given that,
        the three prices are a linear least-squares problem, solved anew until nothing moves.
        A price that no row determines, or that comes out negative, stays as it was.
        """
        best, model = self, self
        for _ in range(ROUNDS):
            model = model._step(features, latency_ms)
            if _error(model, features, latency_ms) >= _error(best, features, latency_ms):
                break
            best = model
        return best

    def predict(self, features: Matrix) -> Vector:
        """Return predicted milliseconds for each row of ``(rows, 3)``."""
        flops, nbytes, nodes = features.T
        busy = np.maximum(flops * self.ms_per_flop, nbytes * self.ms_per_byte)
        return np.asarray(busy + nodes * self.ms_per_node)

    def _step(self, features: Matrix, latency_ms: Vector) -> Self:
        flops, nbytes, nodes = features.T
        arithmetic = flops * self.ms_per_flop >= nbytes * self.ms_per_byte
        columns = np.stack([flops * arithmetic, nbytes * ~arithmetic, nodes], axis=1)
        relative = columns / latency_ms[:, None]
        used = relative.any(axis=0)
        prices = np.array([self.ms_per_flop, self.ms_per_byte, self.ms_per_node])
        solved, *_ = np.linalg.lstsq(relative[:, used], np.ones(len(latency_ms)), rcond=None)
        prices[used] = np.where(solved > 0, solved, prices[used])
        flop, byte, node = map(float, prices)
        return replace(self, ms_per_flop=flop, ms_per_byte=byte, ms_per_node=node)


def _error(model: Roofline, features: Matrix, latency_ms: Vector) -> float:
    return float(np.square(model.predict(features) / latency_ms - 1).mean())

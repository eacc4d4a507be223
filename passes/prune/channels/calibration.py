"""What readers see on real requests: second moments of channels, and means of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.intermediate import observe
from suture.passes.prune.channels.readers import Matrix, Reader

SAMPLES = 256
"""Requests to calibrate with, at most."""

POSITIONS = 512
"""Positions of a feature map to take from each request, at most."""


@dataclass(frozen=True, kw_only=True)
class Moments:
    """What a reader sees, on average over requests and positions.

    Attributes:
        products: ``(channels, channels)`` means of products of channels.
        squares: ``(entries,)`` means of squares.
    """

    products: Matrix
    squares: Matrix


def moments(
    model: ir.Model,
    readers: Sequence[Reader],
    requests: Sequence[Arrays],
    rng: np.random.Generator,
) -> list[Moments]:
    """Return what each reader of a model sees."""
    products = [np.zeros((len(reader.units),) * 2) for reader in readers]
    squares = [np.zeros(len(reader.groups)) for reader in readers]
    for values in observe(model, [reader.data for reader in readers], requests):
        for index, (reader, value) in enumerate(zip(readers, values, strict=True)):
            seen = reader.samples(value)
            if seen.shape[1] > POSITIONS:
                seen = seen[:, rng.choice(seen.shape[1], POSITIONS, replace=False)]
            if len(seen) > len(reader.groups):  # groups of a Conv read by equal weights
                seen = np.hstack(np.split(seen, len(seen) // len(reader.groups)))
            squares[index] += (seen**2).mean(1) / len(requests)
            channels = seen[reader.units].reshape(len(reader.units), -1)
            products[index] += channels @ channels.T / channels.shape[1] / len(requests)
    return [
        Moments(products=product, squares=square)
        for product, square in zip(products, squares, strict=True)
    ]

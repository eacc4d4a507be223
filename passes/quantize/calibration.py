"""What nodes read on real requests: the range of it, and its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.intermediate import observe

SAMPLES = 256
"""Requests to calibrate with, at most."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """Between which numbers a value lay.

    Attributes:
        low: The least, or 0 if none is less.
        high: The greatest, or 0 if none is greater.
    """

    low: float
    high: float

    @property
    def unfit(self) -> str | None:
        """Why 256 numbers cannot stand for it, or None."""
        if not np.isfinite([self.low, self.high]).all():
            return "what it reads was not finite in every request"
        if not np.finfo(np.float32).tiny * 256 < self.high - self.low < TOO_FAR:
            return f"what it reads lay between {self.low:g} and {self.high:g}"
        return None


TOO_FAR = float(np.finfo(np.float32).max)


def find_ranges(
    model: ir.Model, names: Sequence[str], requests: Sequence[Arrays]
) -> dict[str, Range]:
    """Return the ranges of values over all requests; NaN where one was not a number."""
    low, high = np.zeros(len(names)), np.zeros(len(names))
    for values in observe(model, names, requests, optimize=False):
        for index, value in enumerate(values):
            low[index] = np.minimum(low[index], value.min())
            high[index] = np.maximum(high[index], value.max())
    return {
        name: Range(low=float(least), high=float(most))
        for name, least, most in zip(names, low, high, strict=True)
    }

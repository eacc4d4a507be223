"""Statistics of plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from suture.compiler.profile.base import Array, RequestProfile
from suture.errors import RequestError


@dataclass(frozen=True)
class TensorAnalyzer:
    """Measures any numeric array; calls for no step."""

    def accepts(self, kind: str) -> bool:
        """Accept ``tensor`` and ``tensor/...``."""
        return kind.partition("/")[0] == "tensor"

    def analyze(self, data: Array, kind: str) -> RequestProfile:
        """Return shape and statistics; those of an empty array are 0."""
        if data.dtype.kind not in "biuf":
            raise RequestError(f"a tensor holds numbers, not {data.dtype}")
        finite = data[np.isfinite(data)].astype(np.float64)
        some = finite if finite.size else np.zeros(1)
        features = {
            "elements": float(data.size),
            "mean": float(some.mean()),
            "std": float(some.std()),
            "min": float(some.min()),
            "max": float(some.max()),
            "zero_fraction": float(np.sum(finite == 0) / max(1, finite.size)),
            "non_finite_fraction": (data.size - finite.size) / max(1, data.size),
        }
        return RequestProfile(
            kind=kind, shape=data.shape, dtype=str(data.dtype), features=features
        )

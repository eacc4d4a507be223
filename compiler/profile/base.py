"""What a request profile and an analyser are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class RequestProfile:
    """Measured facts about one request's data.

    Attributes:
        kind: Kind of the data, as in ``Port.kind``.
        shape: Shape of the decoded data.
        dtype: NumPy's name of its element type.
        features: Numbers by name; units stand in the names (``skew_deg``, ``noise_sigma``).
        steps: Capabilities the data calls for, in the order they should run, for example
            ``("denoise", "deskew")``.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    features: Mapping[str, float] = field(default_factory=dict)
    steps: tuple[str, ...] = ()

    @property
    def bucket(self) -> str:
        """The group of requests this one belongs to: its steps, or ``plain``."""
        return "+".join(self.steps) or "plain"


class Analyzer(Protocol):
    """Measures features of one family of data."""

    def accepts(self, kind: str) -> bool:
        """Whether data of this kind can be analysed."""

    def analyze(self, data: Array, kind: str) -> RequestProfile:
        """Return the profile of one decoded request."""

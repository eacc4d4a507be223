"""Length of text."""

from __future__ import annotations

from dataclasses import dataclass

from suture.compiler.profile.base import Array, RequestProfile
from suture.errors import RequestError


@dataclass(frozen=True)
class TextAnalyzer:
    """Measures one string; calls for no step."""

    def accepts(self, kind: str) -> bool:
        """Accept ``text`` and ``text/...``."""
        return kind.partition("/")[0] == "text"

    def analyze(self, data: Array, kind: str) -> RequestProfile:
        """Return the lengths of a string array of no axes."""
        if data.dtype.kind != "U" or data.ndim:
            raise RequestError("text is one string")
        text = str(data)
        features = {
            "characters": float(len(text)),
            "bytes": float(len(text.encode())),
            "words": float(len(text.split())),
            "non_ascii_fraction": sum(ord(c) > 127 for c in text) / max(1, len(text)),
        }
        return RequestProfile(kind=kind, shape=(), dtype="str", features=features)

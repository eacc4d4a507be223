"""Where the time of a compilation goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Phases:
    """A watch that sorts seconds by phase.

    Attributes:
        seconds: Time spent in each phase so far, in the order of their first beginning; time
            in a phase within a phase counts to the inner one only.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner: list[float] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count the time in the block to a phase."""
        began = time.perf_counter()
        self.seconds.setdefault(name, 0.0)
        self._inner.append(0.0)
        try:
            yield
        finally:
            whole = time.perf_counter() - began
            self.seconds[name] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole

"""Kernels take as long as their arithmetic or their traffic, whichever takes longer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.features import Facts


@dataclass(frozen=True)
class Roofline:
    """The roofline of Williams, Waterman and Patterson (CACM 2009).

    Attributes:
        gflops: Billions of operations in a second.
        gbytes: Billions of bytes moved in a second.
    """

    name: ClassVar[str] = "example-roofline"
    gflops: float = 40.0
    gbytes: float = 10.0

    def open(self, learned: Path | None) -> "Roofline":
        """Return the model: there is nothing to read."""
        return self

    def knows(self, kernel: Facts) -> bool:
        """Every kernel does arithmetic and moves bytes."""
        return True

    def predict(self, kernels: Sequence[Facts]) -> Vector:
        """Return microseconds."""
        flops = np.array([2 * each.done for each in kernels])
        moved = np.array(
            [each.image_bytes + each.weight_bytes + each.output_bytes for each in kernels]
        )
        return np.maximum(flops / self.gflops, moved / self.gbytes) / 1e3

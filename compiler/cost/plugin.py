"""What a cost model of kernels is to those who choose schedules, and which are installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from suture.compiler.cost.base import Vector
from suture.compiler.cost.features import Facts
from suture.compiler.discovery import make
from suture.errors import Location

GROUP = "suture.cost_models"
DEFAULT = "boosted-trees"


class KernelCost(Protocol):
    """Predicts what a kernel takes under a schedule."""

    def knows(self, kernel: Facts) -> bool:
        """Whether the prediction can be compared with those of other kernels it knows."""

    def predict(self, kernels: Sequence[Facts]) -> Vector:
        """Return the microseconds that each kernel is expected to take."""


class CostModelPlugin(Protocol):
    """A frozen dataclass, whose fields are its options, that opens a cost model."""

    name: ClassVar[str]

    def open(self, learned: Path | None) -> KernelCost:
        """Return the model.

        Args:
            learned: Where this machine's own may have been put by ``suture tune``.
        """


def find_cost_model(spec: str) -> CostModelPlugin:
    """Return the cost model that a spec describes.

    Raises:
        PluginError: No such cost model is installed, or an option does not fit.
    """
    found: CostModelPlugin = make(
        GROUP,
        spec,
        noun="cost model",
        at=Location("--cost-model", spec),
        hint="suture plugins lists what is installed",
    )
    return found

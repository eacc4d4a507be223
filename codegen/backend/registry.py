"""Which backends there are."""

from __future__ import annotations

from pathlib import Path

from suture.codegen.backend.base import Backend
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.budget import SizeSpeed
from suture.codegen.choose.effort import Effort
from suture.codegen.choose.model import BOOSTED_TREES, MODEL
from suture.compiler.cost.plugin import CostModelPlugin


def backends(
    cache: Path,
    *,
    size_speed: SizeSpeed = "balanced",
    effort: Effort = 0,
    cost: CostModelPlugin = BOOSTED_TREES,
) -> tuple[Backend, ...]:
    """Return every backend, the preferred one first.

    Args:
        cache: Folder for what compilers want to keep between runs.
        size_speed: How far packed weights may grow for faster kernels.
        effort: How much time goes into choosing schedules.
        cost: The cost model that is asked, from effort 1 on.
    """
    tvm = TvmBackend(
        zig_cache(cache),
        size_speed=size_speed,
        effort=effort,
        learned=cache / MODEL,
        cost=cost,
    )
    return (tvm, OrtBackend())


def zig_cache(cache: Path) -> Path:
    """Return the folder that Zig keeps its C library in."""
    return cache / "zig"

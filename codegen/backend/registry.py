"""Which backends there are."""

from __future__ import annotations

from pathlib import Path

from suture.codegen.backend.base import Backend
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.budget import SizeSpeed


def backends(cache: Path, size_speed: SizeSpeed = "balanced") -> tuple[Backend, ...]:
    """Return every backend, the preferred one first.

    Args:
        cache: Folder for what compilers want to keep between runs.
        size_speed: How far packed weights may grow for faster kernels.
    """
    return (TvmBackend(zig_cache(cache), size_speed), OrtBackend())


def zig_cache(cache: Path) -> Path:
    """Return the folder that Zig keeps its C library in."""
    return cache / "zig"

"""Which backends there are."""

from __future__ import annotations

from pathlib import Path

from suture.codegen.backend.base import Backend
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend


def backends(cache: Path) -> tuple[Backend, ...]:
    """Return every backend, the preferred one first.

    Args:
        cache: Folder for what compilers want to keep between runs.
    """
    return (TvmBackend(zig_cache(cache)), OrtBackend())


def zig_cache(cache: Path) -> Path:
    """Return the folder that Zig keeps its C library in."""
    return cache / "zig"

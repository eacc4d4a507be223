"""Zig's C compiler: C and object code to a program or library for any target."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from suture.compiler.target import Target
from suture.errors import BackendError

SCRATCH = ".zig"


def compile_c(
    arguments: Sequence[str],
    name: str,
    target: Target,
    *,
    workdir: Path,
    cache: Path,
    scratch: Path | None = None,
) -> Path:
    """Compile and link in a folder; return the file made there, which is whole or absent.

    Args:
        arguments: Flags, sources and objects; paths relative to the folder, so that none
            enters the file.
        name: Of the file to make.
        target: Its triple carries the oldest glibc the file must load with.
        workdir: The folder of the sources.
        cache: Zig's cache of its C library, worth keeping between builds; processes may
            share it.
        scratch: Where compiled sources are kept for the next call, in place of the cache: the
            weights of a model are among them.

    Raises:
        BackendError: The compiler or linker fails; carries what it printed.
    """
    partial = f"{name}.partial"
    command = [
        *(sys.executable, "-m", "ziglang", "cc", "-target", target.triple),
        *(*arguments, "-o", partial),
    ]
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.defpath,
        "ZIG_GLOBAL_CACHE_DIR": str(cache.resolve()),
        "ZIG_LOCAL_CACHE_DIR": str((scratch or cache).resolve()),
    }
    done = subprocess.run(
        command, cwd=workdir, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackendError(f"linking {name} for {target.triple} fails: {done.stderr.strip()}")
    return (workdir / partial).replace(workdir / name)


def zig_version() -> str:
    """Return which Zig compiles."""
    return version("ziglang")

"""From a plan to ``libmodel.so``: TVM's object code, and one link with Zig's C compiler."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import tvm

from suture.codegen.aot import AotPlan, plan_source
from suture.codegen.lower import Lowered, LoweringError
from suture.compiler.target import Target
from suture.errors import BackendError, Location

logger = logging.getLogger(__name__)

LIBRARY = "libmodel.so"
OBJECT = "kernels.o"
RUNTIME = ("exports.map", "model.h", "plan.h", "rt.c", "tvm_abi.h", "weights.S")
SOURCES = ("rt.c", "plan.c", "weights.S")
FLAGS = (
    "-std=c11",
    "-O2",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-sanitize=all",
    "-shared",
    "-s",
    "-Wl,--version-script=exports.map",
)


def build(
    lowered: Lowered, plan: AotPlan, target: Target, *, workdir: Path, cache: Path
) -> Path:
    """Write sources and object code under a folder and link them; return ``libmodel.so``.

    Equal plans give equal bytes in any folder.

    Args:
        lowered: The kernels.
        plan: What they run over.
        target: Its triple carries the oldest glibc the library must load with.
        workdir: Where files go; made if it is not there.
        cache: Zig's cache of its C library, worth keeping between builds; processes may
            share it.

    Raises:
        LoweringError: A kernel needs TVM's library, or does not compile.
        BackendError: The linker fails.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    runtime = files("suture.codegen.runtime") / "native"
    for name in RUNTIME:
        (workdir / name).write_bytes((runtime / name).read_bytes())
    (workdir / "plan.c").write_text(plan_source(plan), encoding="utf-8")
    (workdir / "weights.bin").write_bytes(plan.weights)
    objects = write_kernels(lowered, plan.kernels, workdir / OBJECT)
    link(objects, plan.weights, target, workdir=workdir, cache=cache)
    return workdir / LIBRARY


def write_kernels(lowered: Lowered, kernels: tuple[str, ...], path: Path) -> tuple[str, ...]:
    """Compile kernels to one object file; return the names of the files to link, if any.

    Raises:
        LoweringError: A kernel calls back into TVM's library (sorting does), or LLVM fails.
    """
    if not kernels:
        return ()
    functions = {name: lowered.module[name] for name in kernels}
    for name, function in functions.items():
        called = re.search(r'call_c?packed\("([^"]+)"', function.script())
        if called:
            raise LoweringError(
                f"kernel {name} needs {called[1]} of TVM's library, which a package "
                "does not hold",
                at=Location("main", name),
                hint="use the backend ort",
            )
    try:
        module = tvm.tirx.build(tvm.IRModule(functions), target=lowered.target)
        module.write_to_file(str(path), "o")
    except Exception as error:
        raise LoweringError(
            f"TVM cannot generate code for {', '.join(kernels)}: {error}"
        ) from error
    return (path.name,)


def link(
    objects: tuple[str, ...], weights: bytes, target: Target, *, workdir: Path, cache: Path
) -> None:
    """Compile the sources in a folder and link them with object files there.

    Paths are relative, so that none enters the library. Zig caches compiled sources without
    looking into what they include as bytes: the digest of the weights makes the call unique.

    Raises:
        BackendError: The compiler or linker fails; carries what it printed.
    """
    digest = hashlib.sha256(weights).hexdigest()
    partial = LIBRARY + ".partial"
    command = [
        *(sys.executable, "-m", "ziglang", "cc", "-target", target.triple, *FLAGS),
        f"-DWEIGHTS_{digest}",
        *(*SOURCES, *objects, "-lm", "-o", partial),
    ]
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        "PATH": os.defpath,
        "ZIG_GLOBAL_CACHE_DIR": str(cache.resolve()),
        "ZIG_LOCAL_CACHE_DIR": str(cache.resolve()),
    }
    done = subprocess.run(
        command, cwd=workdir, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackendError(
            f"linking {LIBRARY} for {target.triple} fails: {done.stderr.strip()}"
        )
    (workdir / partial).replace(workdir / LIBRARY)
    logger.info("linked %s: %d bytes", LIBRARY, (workdir / LIBRARY).stat().st_size)

"""From a plan to what is linked of it: generated sources, constants and TVM's object code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tvm

from suture.codegen.aot import AotPlan, plan_source
from suture.codegen.link import Parts, copy_sources, link_library
from suture.codegen.lower import Lowered, LoweringError
from suture.codegen.phases import Phases
from suture.codegen.pipeline import PIPELINE
from suture.codegen.processor import KernelSet, kernel_sets, tvm_target
from suture.codegen.render import render
from suture.codegen.specialise import Library, share
from suture.compiler.target import Target
from suture.errors import Location

OBJECTS = 2
"""Files that a set of kernels is compiled to at the same time."""
SOURCES = ("cpu.h", "plan.h", "tvm_abi.h", "weights.S")
"""Of the runtime, what generated sources are compiled with."""


def build(
    lowered: Lowered,
    plan: AotPlan,
    target: Target,
    *,
    workdir: Path,
    cache: Path,
    phases: Phases | None = None,
) -> Path:
    """Build ``libmodel.so`` of one program; return it.

    Args:
        lowered: The kernels.
        plan: What runs them.
        target: Its triple carries the oldest glibc that the library must load with.
        workdir: Where files go; made if it is not there.
        cache: Zig's cache of its C library, worth keeping between builds; processes may
            share it.
        phases: Where time is counted.

    Raises:
        LoweringError: A kernel needs TVM's library, or does not compile.
        BackendError: The linker fails.
    """
    phases = phases or Phases()
    parts = build_parts(share([lowered], [plan]), target, workdir=workdir, phases=phases)
    with phases.phase("link"):
        return link_library(parts, target, cache=cache)


def build_parts(programs: Library, target: Target, *, workdir: Path, phases: Phases) -> Parts:
    """Write sources, constants and object code under a folder.

    Equal plans give equal bytes in any folder.

    Args:
        programs: Plans, and the kernels that run over them.
        target: The processors to compile for.
        workdir: Where files go; made if it is not there.
        phases: Where time is counted.

    Raises:
        LoweringError: A kernel needs TVM's library, or does not compile.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    copy_sources(SOURCES, workdir)
    sets = kernel_sets(target)
    names = ["kernels.c", "weights.S"]
    for number, plan in enumerate(programs.plans):
        names.append(f"plan{number or ''}.c")
        source = plan_source(plan, programs.names, number)
        (workdir / names[-1]).write_text(source, encoding="utf-8")
    (workdir / "kernels.c").write_text(kernels_source(programs, sets), encoding="utf-8")
    (workdir / "weights.bin").write_bytes(programs.weights)
    with phases.phase("codegen"):
        for each in sets:
            names += write_kernels(programs.kernels, programs.names, workdir, each)
    digest = hashlib.sha256(programs.weights).hexdigest()
    return Parts(workdir, tuple(names), digest)


def kernels_source(programs: Library, sets: Sequence[KernelSet]) -> str:
    """Return the tables of programs and of their kernels as ``kernels.c``."""
    return render(
        "native",
        "kernels.c",
        programs=len(programs.plans),
        kernels=programs.names,
        sets=[
            {"mcpu": each.mcpu, "level": each.level.symbol, "suffix": each.suffix}
            for each in sets
        ],
    )


def write_kernels(
    module: tvm.IRModule, kernels: Sequence[str], folder: Path, processor: KernelSet
) -> tuple[str, ...]:
    """Compile kernels for one processor; return the names of the object files, if any.

    Kernels go to the same few files on any machine, each compiled by a thread of its own.

    Raises:
        LoweringError: A kernel calls back into TVM's library (sorting does), or LLVM fails.
    """
    if not kernels:
        return ()
    functions = {name: module[name] for name in kernels}
    for name, function in functions.items():
        called = re.search(r'call_c?packed\("([^"]+)"', function.script())
        if called:
            raise LoweringError(
                f"kernel {name} needs {called[1]} of TVM's library, which a package "
                "does not hold",
                at=Location("main", name),
                hint="use the backend ort",
            )

    def compile_part(part: int) -> str:
        name = f"kernels{processor.suffix}_{part}.o"
        compile_kernels(
            {each + processor.suffix: functions[each] for each in kernels[part::OBJECTS]},
            folder / name,
            processor,
        )
        return name

    with ThreadPoolExecutor(OBJECTS) as pool:
        return tuple(pool.map(compile_part, range(min(OBJECTS, len(kernels)))))


def compile_kernels(functions: Mapping[str, Any], path: Path, processor: KernelSet) -> None:
    """Compile kernels by their symbols to an object file.

    Raises:
        LoweringError: LLVM fails.
    """
    symbols = {name: each.with_attr("global_symbol", name) for name, each in functions.items()}
    try:
        target = tvm_target(processor.target)
        module = tvm.tirx.build(tvm.IRModule(symbols), target=target, pipeline=PIPELINE)
        module.write_to_file(str(path), "o")
    except Exception as error:
        raise LoweringError(
            f"TVM cannot generate code for {', '.join(symbols)}: {error}"
        ) from error

"""What LLVM knows of a processor by its name, and which vector instructions that takes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import tvm
from tvm.target.codegen import llvm_cpu_has_features, llvm_is_valid_cpu

from suture.compiler.target import Target


@dataclass(frozen=True)
class Level:
    """A set of vector instructions that a program can ask its processor for.

    Attributes:
        name: LLVM's name of the least processor that has them.
        arch: The architecture it is a level of.
        features: LLVM's names of the instructions.
    """

    name: str
    arch: str
    features: tuple[str, ...]

    @property
    def symbol(self) -> str:
        """Its name in C."""
        return self.name.upper().replace("-", "_")


LEVELS = (
    Level("x86-64-v4", "x86_64", ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")),
    Level("x86-64-v3", "x86_64", ("avx2", "fma", "bmi2")),
    Level("x86-64", "x86_64", ()),
    Level("neoverse-n1", "aarch64", ("dotprod", "fullfp16", "lse")),
    Level("generic", "aarch64", ()),
)
"""What ``cpu.c`` can find out when a program starts, the most of an architecture first."""

BASELINES: Mapping[str, str] = {"x86_64": "x86-64-v3", "aarch64": "neoverse-n1"}
"""Architecture → the processor that stands in for one that LLVM does not know."""


@dataclass(frozen=True)
class KernelSet:
    """The kernels of a program, compiled for processors of one kind.

    Attributes:
        target: The program's target, with that processor for its own.
        level: What the program must find when it starts, to run them.
        suffix: What sets their symbols apart, empty for the target's baseline.
    """

    target: Target
    level: Level
    suffix: str

    @property
    def mcpu(self) -> str:
        """LLVM's name of the processor."""
        return self.target.mcpu


def kernel_sets(target: Target) -> tuple[KernelSet, ...]:
    """Return the sets that a program for a target holds, the first choice first."""
    sets = []
    for mcpu in (*target.also, target.mcpu):
        one = replace(target, mcpu=mcpu, also=())
        suffix = "" if mcpu == target.mcpu else "_" + re.sub(r"\W", "_", mcpu)
        sets.append(KernelSet(one, level_of(one), suffix))
    return tuple(sets)


def tvm_target(target: Target) -> tvm.target.Target:
    """Return TVM's description of a target's processor, for one thread.

    Vectors stand in the schedules: what LLVM would gather into further ones is mostly the
    arithmetic of addresses, in the middle of a sum.
    """
    return tvm.target.Target(
        {
            "kind": "llvm",
            "mtriple": _triple(target),
            "mcpu": target.mcpu,
            "num-cores": 1,
            "cl-opt": ["-vectorize-slp:bool=0"],
        }
    )


def known(target: Target) -> tuple[Target, tuple[str, ...]]:
    """Return a target of processors that LLVM knows, and notes on those it does not."""
    notes = []
    unknown = [name for name in (target.mcpu, *target.also) if not _is_known(name, target)]
    for name in unknown:
        instead = f"{BASELINES[target.arch]} is taken" if name == target.mcpu else "left out"
        notes.append(f"LLVM knows no processor {name!r}: {instead}")
    return replace(
        target,
        mcpu=BASELINES[target.arch] if target.mcpu in unknown else target.mcpu,
        also=tuple(name for name in target.also if name not in unknown),
    ), tuple(notes)


def level_of(target: Target) -> Level:
    """Return the level of a target's processor: the most of its architecture that it has."""
    described = tvm_target(target)
    return next(
        level
        for level in LEVELS
        if level.arch == target.arch
        and (not level.features or llvm_cpu_has_features(list(level.features), described))
    )


def _is_known(name: str, target: Target) -> bool:
    return bool(llvm_is_valid_cpu(name, _triple(target)))


def _triple(target: Target) -> str:
    """Return Zig's triple without the glibc version, which LLVM does not know."""
    return "-".join(part.split(".")[0] for part in target.triple.split("-"))

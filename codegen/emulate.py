"""A compiled ``libmodel.so`` of another processor, run here by QEMU's user mode.

It answers as the program will and says nothing of its speed.
"""

from __future__ import annotations

import math
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from suture.codegen.backend.base import Array, Compiled, Program, Slot
from suture.codegen.link import LIBRARY, copy_sources
from suture.codegen.sizes import BySizes
from suture.codegen.zig import compile_c
from suture.compiler.target import Target
from suture.errors import BackendError, Location, RequestError

RUNNER = "runner.c"
LEAST_CPU = ("neoverse-n1",)
"""Processors that QEMU stands in for exactly; it takes its most capable one for others."""


@dataclass(frozen=True)
class Emulator:
    """QEMU for one architecture.

    Attributes:
        command: What to put before a program and its arguments.
    """

    command: tuple[str, ...]

    def __str__(self) -> str:
        return Path(self.command[0]).name


def emulated(compiled: Compiled, target: Target, cache: Path) -> BySizes:
    """Return a library of a target that this machine cannot run itself, as a function.

    Args:
        compiled: What a backend made of a model; it holds a ``libmodel.so``.
        target: What for.
        cache: Zig's cache.

    Raises:
        BackendError: There is no emulator here.
    """
    library = compiled.files[LIBRARY]
    emulator = find_emulator(target.arch, target.mcpu)
    runner = build_runner(target, workdir=library.parent, cache=cache)
    return BySizes(
        EmulatedProgram(library, program, number, emulator=emulator, runner=runner)
        for number, program in enumerate(compiled.programs)
    )


def build_runner(target: Target, *, workdir: Path, cache: Path) -> Path:
    """Return the program that runs a library of a target with tensors from standard input.

    Raises:
        BackendError: It does not compile.
    """
    copy_sources([RUNNER], workdir)
    return compile_c(["-O1", RUNNER], "runner", target, workdir=workdir, cache=cache)


def find_emulator(arch: str, mcpu: str = "max") -> Emulator:
    """Return the emulator of a processor.

    Args:
        arch: Its architecture.
        mcpu: LLVM's name of it; QEMU's most capable one stands in where it is not known well.

    Raises:
        BackendError: It is not installed, or there is no C library for it.
    """
    names = [f"qemu-{arch}-static", f"qemu-{arch}"]
    found = next((path for name in names if (path := shutil.which(name))), None)
    root = Path("/") if arch == platform.machine() else Path(f"/usr/{arch}-linux-gnu")
    if found is None or not (root / "lib").is_dir():
        missing = names[1] if found is None else f"a C library under {root}"
        raise BackendError(
            f"programs for {arch} cannot be run here without {missing}",
            at=Location(arch),
            hint="on Debian: apt-get install qemu-user-static libc6-arm64-cross",
        )
    cpu = mcpu if mcpu in LEAST_CPU else "max"
    return Emulator((found, "-L", str(root), "-cpu", cpu))


class EmulatedProgram:
    """Runs a library in a process of its own, one for each call.

    Args:
        library: A ``libmodel.so``.
        program: What one of its programs reads and writes.
        number: Which one.
        emulator: QEMU for the library's processor.
        runner: What ``build_runner`` made for it.
    """

    def __init__(
        self,
        library: Path,
        program: Program,
        number: int = 0,
        *,
        emulator: Emulator,
        runner: Path,
    ) -> None:
        self.emulator = emulator
        self.inputs = program.inputs
        self.outputs = program.outputs
        command = (*emulator.command, runner.resolve(), library.resolve(), number)
        self._command = [str(word) for word in command]
        self._library = library

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Raises:
            RequestError: An input is missing, or has another shape or element type.
            BackendError: The program fails; carries what it printed.
        """
        given = b"".join(self._bytes(slot, inputs) for slot in self.inputs)
        done = subprocess.run(self._command, input=given, capture_output=True, check=False)
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip() or f"status {done.returncode}"
            raise BackendError(f"the program fails: {told}", at=Location(str(self._library)))
        answers, start = {}, 0
        for slot in self.outputs:
            dtype, count = np.dtype(slot.dtype), math.prod(slot.shape)
            flat = np.frombuffer(done.stdout, dtype, count, start)
            answers[slot.name] = flat.reshape(slot.shape).copy()
            start += count * dtype.itemsize
        return answers

    @staticmethod
    def _bytes(slot: Slot, inputs: Mapping[str, Array]) -> bytes:
        array = inputs.get(slot.name)
        if array is None or array.shape != slot.shape or array.dtype != slot.dtype:
            given = "nothing" if array is None else f"{array.dtype}{list(array.shape)}"
            raise RequestError(
                f"{given} is not {slot.dtype}{list(slot.shape)}", at=Location(slot.name)
            )
        return array.tobytes()

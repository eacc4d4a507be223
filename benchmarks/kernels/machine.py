"""What one core of this machine can do at best, measured."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from suture.codegen.schedule.base import processor_of
from suture.codegen.zig import compile_c
from suture.compiler.target import Target

SOURCE = Path(__file__).with_name("machine.c")
TIMES = 101
LEAST_S = 5e-5
"""Less is not told apart from the call and the clock."""


class Machine:
    """Peaks of one core, for vectors as wide as a target's kernels use.

    Args:
        target: What the kernels are compiled for.
        folder: Where the program that measures is built.

    Attributes:
        flops_per_second: Greatest rate seen of multiply-adds, each counted as two.
    """

    def __init__(self, target: Target, folder: Path) -> None:
        nbytes = 4 * processor_of(target).lanes
        library = ctypes.CDLL(str(_build(target, nbytes, folder)))
        self._vector_bytes = nbytes
        self._move = library.move
        self._move.argtypes = [*[ctypes.c_void_p, ctypes.c_size_t] * 2, ctypes.c_uint64]
        library.multiply_adds.argtypes = [
            *(ctypes.c_uint64, ctypes.c_float, ctypes.c_float, ctypes.c_void_p)
        ]
        flops = ctypes.c_uint64()

        def run(times: int) -> None:
            library.multiply_adds(times, 0.99, 0.01, ctypes.byref(flops))

        fastest = min(_seconds(run) for _ in range(TIMES))
        self.flops_per_second = flops.value / fastest

    def mover(self, read: int, written: int) -> Callable[[], float]:
        """Return what reads and writes so many bytes, does nothing else and tells the seconds.

        It goes over the same memory at every call, as a kernel does: small tensors stay in
        the caches.
        """
        vectors = [max(1, nbytes // self._vector_bytes) for nbytes in (read, written)]
        # Ones: untouched zeros would all be one page.
        memory = [np.ones((count + 2) * self._vector_bytes, np.uint8) for count in vectors]
        starts = [each.ctypes.data + -each.ctypes.data % 64 for each in memory]

        def run(times: int) -> None:
            assert memory
            self._move(starts[0], vectors[0], starts[1], vectors[1], times)

        return lambda: _seconds(run)


def _seconds(run: Callable[[int], None]) -> float:
    """Return the time of one of as many turns as the clock and the call do not matter for."""
    times = 1
    while True:
        began = time.perf_counter()
        run(times)
        spent = time.perf_counter() - began
        if spent >= LEAST_S:
            return spent / times
        times *= 4


def _build(target: Target, vector_bytes: int, folder: Path) -> Path:
    flags = [
        f"-mcpu={target.mcpu.replace('-', '_')}",
        *("-O3", "-ffp-contract=fast", "-fno-builtin", "-shared", "-fPIC"),
        f"-DVECTOR_BYTES={vector_bytes}",
    ]
    arguments = [*flags, str(SOURCE)]
    return compile_c(arguments, "machine.so", target, workdir=folder, cache=folder / "zig")

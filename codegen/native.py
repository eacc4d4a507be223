"""A compiled ``libmodel.so``, called in this process."""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from suture.codegen.backend.base import Array, Slot
from suture.codegen.memory import ALIGNMENT
from suture.errors import BackendError, Location, RequestError


class NativeProgram:
    """Runs a library through ctypes; one call at a time.

    Args:
        library: A ``libmodel.so`` for this machine's architecture.
        inputs: What it reads, in order.
        outputs: What it writes, in order.
        threads: How many its kernels run on, at least 1; it makes use of no more than it
            was compiled for.
        number: Which of its programs.

    Raises:
        BackendError: The library does not load here, or has other inputs or outputs.
    """

    def __init__(
        self,
        library: Path,
        inputs: tuple[Slot, ...],
        outputs: tuple[Slot, ...],
        *,
        threads: int = 1,
        number: int = 0,
    ) -> None:
        self._number = number
        try:
            self._library = ctypes.CDLL(str(library.resolve()))
        except OSError as error:
            raise BackendError(
                f"cannot be loaded on this {platform.machine()} machine: {error}",
                at=Location(str(library)),
            ) from error
        self._library.model_error.restype = ctypes.c_char_p
        for name in ("model_in_bytes", "model_out_bytes"):
            getattr(self._library, name).restype = ctypes.c_uint64
        self._check(self._library.model_init())
        self._threads = threads
        self._check(self._library.model_use(number))
        self.inputs = inputs
        self.outputs = outputs
        self._in = [_buffer(slot) for slot in inputs]
        self._out = [_buffer(slot) for slot in outputs]
        mine = [[array.nbytes for array in arrays] for arrays in (self._in, self._out)]
        if mine != self._sizes():
            raise BackendError(
                "has other inputs or outputs than said", at=Location(str(library))
            )
        self._pointers = tuple(
            (ctypes.c_void_p * max(len(arrays), 1))(*(array.ctypes.data for array in arrays))
            for arrays in (self._in, self._out)
        )

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Raises:
            RequestError: An input is missing, or has another shape or element type.
            BackendError: A kernel refuses its arguments.
        """
        self._fill(inputs)
        self._library.model_set_threads(self._threads)
        self._check(self._library.model_use(self._number))
        self._check(self._library.model_run(*self._pointers))
        return {
            slot.name: array.copy()
            for slot, array in zip(self.outputs, self._out, strict=True)
        }

    def profile(self, inputs: Mapping[str, Array]) -> npt.NDArray[np.uint64]:
        """Run once; return the nanoseconds of each kernel call, in order."""
        self._fill(inputs)
        self._library.model_set_threads(self._threads)
        self._check(self._library.model_use(self._number))
        spent = np.zeros(self._library.model_n_kernels(), np.uint64)
        pointer = ctypes.c_void_p(spent.ctypes.data)
        self._check(self._library.model_profile(*self._pointers, pointer))
        return spent

    def _fill(self, inputs: Mapping[str, Array]) -> None:
        for slot, buffer in zip(self.inputs, self._in, strict=True):
            array = inputs.get(slot.name)
            if array is None:
                raise RequestError("no such input is given", at=Location(slot.name))
            if array.shape != slot.shape or array.dtype != slot.dtype:
                raise RequestError(
                    f"{array.dtype}{list(array.shape)} is not {slot.dtype}{list(slot.shape)}",
                    at=Location(slot.name),
                )
            buffer[...] = array

    def _sizes(self) -> list[list[int]]:
        library = self._library
        return [
            [library.model_in_bytes(i) for i in range(library.model_n_in())],
            [library.model_out_bytes(i) for i in range(library.model_n_out())],
        ]

    def _check(self, status: int) -> None:
        if status:
            raise BackendError(f"the program fails: {self._library.model_error().decode()}")


def _buffer(slot: Slot) -> Array:
    """Return an array for a slot at an address that TVM's kernels may assume."""
    dtype = np.dtype(slot.dtype)
    size = math.prod(slot.shape) * dtype.itemsize
    memory = np.zeros(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(slot.shape)

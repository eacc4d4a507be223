"""Run ``libmodel.so``: kernels compiled ahead of time, a program for each set of shapes."""

import ctypes
import math
import os

from .protocol import Tensor, item_size, program_of

ALIGNMENT = 64


class Engine:
    """The library, and buffers for its inputs and outputs."""

    def __init__(self, folder, model):
        self.library = ctypes.CDLL(os.path.join(folder, "libmodel.so"))
        self.library.model_error.restype = ctypes.c_char_p
        self.library.model_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        if self.library.model_init():
            raise RuntimeError(self._error())
        self.library.model_set_threads(len(os.sched_getaffinity(0)))
        self.model = model
        only = {
            kind: [spec["shape"] for spec in model[kind]] for kind in ("inputs", "outputs")
        }
        self.programs = model.get("programs") or [only]
        self.inputs, self.input_table = self._buffers("inputs")
        self.outputs, self.output_table = self._buffers("outputs")

    def run(self, tensors):
        """Return every output by name for tensors by name."""
        number = program_of(tensors, self.model)
        if self.library.model_use(number):
            raise RuntimeError(self._error())
        for spec, address, _ in self.inputs:
            data = tensors[spec["name"]].data
            ctypes.memmove(address, bytes(data), len(data))
        if self.library.model_run(self.input_table, self.output_table):
            raise RuntimeError(self._error())
        shapes = self.programs[number]["outputs"]
        return {
            spec["name"]: Tensor(
                spec["datatype"], shape, ctypes.string_at(address, _size(spec, shape))
            )
            for (spec, address, _), shape in zip(self.outputs, shapes, strict=True)
        }

    def _buffers(self, kind):
        """Return an aligned buffer for each tensor, and a table of their addresses."""
        buffers = []
        for position, spec in enumerate(self.model[kind]):
            largest = max(_size(spec, each[kind][position]) for each in self.programs)
            memory = ctypes.create_string_buffer(largest + ALIGNMENT)
            address = ctypes.addressof(memory)
            buffers.append((spec, address + -address % ALIGNMENT, memory))
        table = (ctypes.c_void_p * len(buffers))(*(address for _, address, _ in buffers))
        return buffers, table

    def _error(self):
        return (self.library.model_error() or b"the program failed").decode(errors="replace")


def _size(spec, shape):
    return math.prod(shape) * item_size(spec["datatype"])

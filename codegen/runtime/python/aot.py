"""Run ``libmodel.so``: kernels compiled ahead of time, fixed shapes."""

import ctypes
import math
import os

from .protocol import Tensor, item_size

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
        self.inputs, self.input_table = _buffers(model["inputs"])
        self.outputs, self.output_table = _buffers(model["outputs"])

    def run(self, tensors):
        """Return every output by name for tensors by name."""
        for spec, address, size, _ in self.inputs:
            ctypes.memmove(address, bytes(tensors[spec["name"]].data), size)
        if self.library.model_run(self.input_table, self.output_table):
            raise RuntimeError(self._error())
        return {
            spec["name"]: Tensor(
                spec["datatype"], spec["shape"], ctypes.string_at(address, size)
            )
            for spec, address, size, _ in self.outputs
        }

    def _error(self):
        return (self.library.model_error() or b"the program failed").decode(errors="replace")


def _buffers(specs):
    """Return an aligned buffer for each tensor, and the table of their addresses."""
    buffers = []
    for spec in specs:
        size = math.prod(spec["shape"]) * item_size(spec["datatype"])
        memory = ctypes.create_string_buffer(size + ALIGNMENT)
        address = ctypes.addressof(memory)
        buffers.append((spec, address + -address % ALIGNMENT, size, memory))
    table = (ctypes.c_void_p * len(buffers))(*(address for _, address, _, _ in buffers))
    return buffers, table

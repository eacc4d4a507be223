"""Run ``model.onnx`` with ONNX Runtime's C library, through ctypes: no NumPy, no bindings.

The C API is a table of functions whose order never changes (onnxruntime_c_api.h).
"""

import ctypes
import math
import os

from .protocol import Tensor, item_size

API_VERSION = 16
LIBRARY = "libonnxruntime.so.1"
LOG_ERROR = 3
CPU_ARENA, MEMORY_DEFAULT = 1, 0

FUNCTIONS = {
    "GetErrorMessage": 2,
    "CreateEnv": 3,
    "CreateSession": 7,
    "Run": 9,
    "CreateSessionOptions": 10,
    "SetIntraOpNumThreads": 24,
    "SetInterOpNumThreads": 25,
    "CreateTensorWithDataAsOrtValue": 49,
    "GetTensorMutableData": 51,
    "GetDimensionsCount": 61,
    "GetDimensions": 62,
    "GetTensorTypeAndShape": 65,
    "CreateCpuMemoryInfo": 69,
    "ReleaseStatus": 93,
    "ReleaseValue": 96,
    "ReleaseTensorTypeAndShapeInfo": 99,
}
"""Places in the table of the functions used here."""

ELEMENT_TYPES = {
    "FP32": 1,
    "UINT8": 2,
    "INT8": 3,
    "UINT16": 4,
    "INT16": 5,
    "INT32": 6,
    "INT64": 7,
    "BOOL": 9,
    "FP16": 10,
    "FP64": 11,
    "UINT32": 12,
    "UINT64": 13,
}

Pointer = ctypes.c_void_p


class _ApiBase(ctypes.Structure):
    _fields_ = (
        ("GetApi", ctypes.CFUNCTYPE(Pointer, ctypes.c_uint32)),
        ("GetVersionString", ctypes.CFUNCTYPE(ctypes.c_char_p)),
    )


class Engine:
    """A session on the CPU."""

    def __init__(self, folder, model):
        library = ctypes.CDLL(os.path.join(folder, LIBRARY))
        library.OrtGetApiBase.restype = ctypes.POINTER(_ApiBase)
        table = library.OrtGetApiBase().contents.GetApi(API_VERSION)
        if not table:
            raise RuntimeError(f"{LIBRARY} is older than API version {API_VERSION}")
        self.table = ctypes.cast(table, ctypes.POINTER(Pointer))
        self.model = model
        env, options, self.session, self.memory = Pointer(), Pointer(), Pointer(), Pointer()
        self._call("CreateEnv", ctypes.c_int(LOG_ERROR), b"suture", ctypes.byref(env))
        self._call("CreateSessionOptions", ctypes.byref(options))
        self._call("SetIntraOpNumThreads", options, ctypes.c_int(model["threads"]))
        self._call("SetInterOpNumThreads", options, ctypes.c_int(1))
        path = os.path.join(folder, "model.onnx").encode()
        self._call("CreateSession", env, path, options, ctypes.byref(self.session))
        arena, kind = ctypes.c_int(CPU_ARENA), ctypes.c_int(MEMORY_DEFAULT)
        self._call("CreateCpuMemoryInfo", arena, kind, ctypes.byref(self.memory))

    def run(self, tensors):
        """Return every output by name for tensors by name."""
        names, wanted = self.model["inputs"], self.model["outputs"]
        values, kept = [], []
        outputs = (Pointer * len(wanted))()
        try:
            for spec in names:
                value, memory = self._tensor(tensors[spec["name"]])
                values.append(value)
                kept.append(memory)
            self._call(
                "Run",
                self.session,
                None,
                _names(names),
                (Pointer * len(values))(*values),
                ctypes.c_size_t(len(values)),
                _names(wanted),
                ctypes.c_size_t(len(wanted)),
                outputs,
            )
            return {
                spec["name"]: self._read(Pointer(output), spec["datatype"])
                for spec, output in zip(wanted, outputs, strict=True)
            }
        finally:
            for value in (*values, *outputs):
                if value:
                    self._release("ReleaseValue", Pointer(value))

    def _tensor(self, tensor):
        """Return a value over a copy of a tensor's bytes, and the copy."""
        memory = ctypes.create_string_buffer(bytes(tensor.data), max(1, len(tensor.data)))
        shape = (ctypes.c_int64 * len(tensor.shape))(*tensor.shape)
        value = Pointer()
        self._call(
            "CreateTensorWithDataAsOrtValue",
            self.memory,
            memory,
            ctypes.c_size_t(len(tensor.data)),
            shape,
            ctypes.c_size_t(len(tensor.shape)),
            ctypes.c_int(ELEMENT_TYPES[tensor.datatype]),
            ctypes.byref(value),
        )
        return value.value, memory

    def _read(self, value, datatype):
        """Return the tensor in a value."""
        info, rank, address = Pointer(), ctypes.c_size_t(), Pointer()
        self._call("GetTensorTypeAndShape", value, ctypes.byref(info))
        try:
            self._call("GetDimensionsCount", info, ctypes.byref(rank))
            shape = (ctypes.c_int64 * rank.value)()
            self._call("GetDimensions", info, shape, rank)
        finally:
            self._release("ReleaseTensorTypeAndShapeInfo", info)
        self._call("GetTensorMutableData", value, ctypes.byref(address))
        size = math.prod(shape) * item_size(datatype)
        return Tensor(datatype, list(shape), ctypes.string_at(address, size) if size else b"")

    def _call(self, name, *arguments):
        """Call a function of the table that returns a status."""
        status = ctypes.CFUNCTYPE(Pointer, *map(_kind, arguments))(
            self.table[FUNCTIONS[name]]
        )(*arguments)
        if status:
            message = ctypes.CFUNCTYPE(ctypes.c_char_p, Pointer)(
                self.table[FUNCTIONS["GetErrorMessage"]]
            )(status)
            self._release("ReleaseStatus", Pointer(status))
            raise RuntimeError(message.decode(errors="replace"))

    def _release(self, name, pointer):
        ctypes.CFUNCTYPE(None, Pointer)(self.table[FUNCTIONS[name]])(pointer)


def _kind(argument):
    """Return the C type to pass an argument as; arrays and references as pointers."""
    return type(argument) if isinstance(argument, ctypes._SimpleCData) else Pointer


def _names(specs):
    return (ctypes.c_char_p * len(specs))(*(spec["name"].encode() for spec in specs))

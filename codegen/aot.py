"""Decide ahead of time where every tensor lives and which kernel runs when.

The decision is an ``AotPlan``: a value. ``plan_source`` prints it as C.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from suture.codegen.lower import Lowered, LoweringError
from suture.codegen.render import render
from suture.errors import Location

ALIGNMENT = 64
# "owned" exists only while planning: a buffer of its own that has no home yet.
Space = Literal["input", "output", "arena", "weights", "owned"]
Value = int | tuple["Value", ...]
VIEWS = ("relax.reshape", "relax.memory.view", "relax.call_pure_packed", "relax.call_packed")

# DLPack's type codes (dlpack.h) and the bits of an element.
DTYPES = {
    "float16": (2, 16),
    "float32": (2, 32),
    "float64": (2, 64),
    "int8": (0, 8),
    "int16": (0, 16),
    "int32": (0, 32),
    "int64": (0, 64),
    "uint8": (1, 8),
    "uint16": (1, 16),
    "uint32": (1, 32),
    "uint64": (1, 64),
    "bool": (6, 8),
}


@dataclass(frozen=True)
class Tensor:
    """A buffer seen with one shape; several tensors may see the same bytes.

    Attributes:
        space: Whose memory it is.
        at: Number of the caller's buffer, or byte offset into the arena or the weights.
        shape: Sizes of the axes; empty for a scalar.
        dtype: NumPy's name of the element type.
    """

    space: Space
    at: int
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of the packed elements."""
        return math.prod(self.shape) * DTYPES[self.dtype][1] // 8


@dataclass(frozen=True)
class Call:
    """One run of a kernel over tensors, given by position, inputs first."""

    kernel: str
    args: tuple[int, ...]


@dataclass(frozen=True)
class Copy:
    """An output to be filled from a tensor after all calls."""

    output: int
    tensor: int
    nbytes: int


@dataclass(frozen=True, kw_only=True)
class AotPlan:
    """Everything a program does, with no decision left for run time.

    Attributes:
        tensors: Every tensor a call or copy names.
        calls: Kernels in the order they run.
        copies: What remains to be copied to outputs.
        inputs: The caller's input buffers, in the order of the model's inputs.
        outputs: The caller's output buffers, in the order of the model's outputs.
        arena_bytes: Memory for activations.
        weights: The constants at their offsets.
    """

    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    copies: tuple[Copy, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    weights: bytes = field(repr=False)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels in use, sorted."""
        return tuple(sorted({call.kernel for call in self.calls}))


def plan_program(lowered: Lowered) -> AotPlan:
    """Walk ``main`` after memory planning and place every tensor.

    Raises:
        LoweringError: A statement that cannot be decided ahead of time; names the binding.
    """
    main = lowered.module["main"]
    walk = _Walk(lowered)
    for block in main.body.blocks:
        for binding in block.bindings:
            walk.bind(binding.var, binding.value)
    results = walk.resolve(main.body.body)
    return walk.finish(results if isinstance(results, tuple) else (results,))


def plan_source(plan: AotPlan) -> str:
    """Return a plan as ``plan.c``."""
    shapes = sorted({tensor.shape for tensor in plan.tensors})
    spaces = {"input": "INPUT", "output": "OUTPUT", "arena": "ARENA", "weights": "WEIGHTS"}
    tensors = [
        {
            "space": spaces[tensor.space],
            "at": tensor.at,
            "rank": len(tensor.shape),
            "shape": shapes.index(tensor.shape),
            "code": DTYPES[tensor.dtype][0],
            "bits": DTYPES[tensor.dtype][1],
        }
        for tensor in plan.tensors
    ]
    return render(
        "native",
        "plan.c",
        kernels=plan.kernels,
        shapes=shapes,
        tensors=tensors,
        calls=plan.calls,
        copies=plan.copies,
        input_bytes=[tensor.nbytes for tensor in plan.inputs],
        output_bytes=[tensor.nbytes for tensor in plan.outputs],
        arena_bytes=plan.arena_bytes,
    )


def _aligned(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class _Walk:
    """What is known at one statement of ``main``."""

    def __init__(self, lowered: Lowered) -> None:
        self.tensors: list[Tensor] = []
        self.calls: list[Call] = []
        self.weights = bytearray()
        self.arena_bytes = 0
        self.owned: list[Tensor] = []
        self.values: dict[Any, Value] = {}
        self.storages: dict[Any, int] = {}
        self.constants: dict[tuple[object, ...], int] = {}
        self.inputs: list[Tensor] = []
        parameters = {var.name: var for var in lowered.module["main"].params}
        for position, name in enumerate(lowered.inputs):
            shape, dtype = tensor_type(parameters[name])
            self.inputs.append(Tensor("input", position, shape, dtype))
            self.values[parameters[name]] = self.add(self.inputs[-1])

    def add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def bind(self, var: Any, value: Any) -> None:
        """Take in one statement."""
        if not isinstance(value, relax.Call):
            self.values[var] = self.resolve(value, var)
        elif isinstance(value.op, tvm.ir.GlobalVar):
            args = tuple(self.tensor(arg, var) for arg in value.args)
            self.calls.append(Call(value.op.name_hint, args))
            self.values[var] = ()
        else:
            self.bind_builtin(var, value)

    def bind_builtin(self, var: Any, call: Any) -> None:
        """Take in one call of Relax's own operators."""
        name = getattr(call.op, "name", None) or str(call.op)
        if name == "relax.memory.alloc_storage":
            self.storages[var] = self.arena_bytes
            self.arena_bytes += _aligned(int(call.args[0].values[0]))
        elif name == "relax.memory.alloc_tensor":
            at = self.storages[call.args[0]] + int(call.args[1].value)
            self.values[var] = self.add(Tensor("arena", at, *tensor_type(var)))
        elif name == "relax.builtin.alloc_tensor":
            # Left out of the plan by TVM because it leaves the function, or may.
            self.owned.append(Tensor("owned", len(self.owned), *tensor_type(var)))
            self.values[var] = self.add(self.owned[-1])
        elif name in VIEWS:
            self.values[var] = self.view(var, call)
        elif name not in ("relax.memory.kill_tensor", "relax.memory.kill_storage"):
            raise _cannot_hold(var, name)

    def view(self, var: Any, call: Any) -> int:
        """Return a tensor that sees an operand's bytes with another shape."""
        packed = getattr(call.args[0], "global_symbol", None)
        if packed not in (None, "vm.builtin.reshape"):
            raise _cannot_hold(var, f"a call of {packed}")
        source = self.tensors[self.tensor(call.args[packed is not None], var)]
        shape, dtype = tensor_type(var)
        result = replace(source, shape=shape, dtype=dtype)
        if result.nbytes != source.nbytes:
            raise _cannot_hold(var, "a view of part of a tensor")
        return self.add(result)

    def resolve(self, value: Any, var: Any = "main") -> Value:
        """Return the tensor, or tensors, that an expression stands for."""
        if isinstance(value, relax.Tuple):
            return tuple(self.resolve(item, var) for item in value.fields)
        if isinstance(value, relax.TupleGetItem):
            whole = self.resolve(value.tuple_value, var)
            assert isinstance(whole, tuple)
            return whole[int(value.index)]
        if isinstance(value, relax.Var):
            return self.values[value]
        numpy = getattr(getattr(value, "value", None), "numpy", None)
        if isinstance(value, tvm.ir.GenericConst) and numpy is not None:
            return self.constant(numpy(), var)
        raise _cannot_hold(var, type(value).__name__)

    def tensor(self, value: Any, var: Any) -> int:
        found = self.resolve(value, var)
        if isinstance(found, tuple):
            raise _cannot_hold(var, "a tuple as an argument")
        return found

    def constant(self, array: npt.NDArray[Any], var: Any) -> int:
        """Return the tensor of a constant; equal constants are stored once."""
        dtype = str(array.dtype)
        if dtype not in DTYPES:
            raise _cannot_hold(var, f"element type {dtype}")
        data = np.ascontiguousarray(array).tobytes()
        key = (dtype, array.shape, hashlib.sha256(data).digest())
        if key not in self.constants:
            self.weights.extend(bytes(_aligned(len(self.weights)) - len(self.weights)))
            place = Tensor("weights", len(self.weights), array.shape, dtype)
            self.weights.extend(data)
            self.constants[key] = self.add(place)
        return self.constants[key]

    def finish(self, results: tuple[Value, ...]) -> AotPlan:
        """Give every tensor that TVM left to us a caller's buffer, or a place in the arena."""
        positions = [self.result(value) for value in results]
        homes: dict[int, tuple[Space, int]] = {}
        for output, position in enumerate(positions):
            tensor = self.tensors[position]
            if tensor.space == "owned":
                homes.setdefault(tensor.at, ("output", output))
        for tensor in self.owned:
            if tensor.at not in homes:
                homes[tensor.at] = ("arena", self.arena_bytes)
                self.arena_bytes += _aligned(tensor.nbytes)
        placed: list[Tensor] = []
        for tensor in self.tensors:
            space, at = (
                homes[tensor.at] if tensor.space == "owned" else (tensor.space, tensor.at)
            )
            placed.append(replace(tensor, space=space, at=at))
        outputs = [
            replace(placed[position], space="output", at=output)
            for output, position in enumerate(positions)
        ]
        copies = [
            Copy(output, position, placed[position].nbytes)
            for output, position in enumerate(positions)
            if (placed[position].space, placed[position].at) != ("output", output)
        ]
        return AotPlan(
            tensors=tuple(placed),
            calls=tuple(self.calls),
            copies=tuple(copies),
            inputs=tuple(self.inputs),
            outputs=tuple(outputs),
            arena_bytes=self.arena_bytes,
            weights=bytes(self.weights),
        )

    def result(self, value: Value) -> int:
        if isinstance(value, tuple):
            raise _cannot_hold("main", "a sequence as an output")
        return value


def tensor_type(var: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape and element type of a Relax variable.

    Raises:
        LoweringError: The shape depends on data, or a package cannot hold the element type.
    """
    kind = var.ty
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        raise _cannot_hold(var, f"a value of type {kind}")
    sizes = list(kind.shape)
    if not all(isinstance(size, tvm.tirx.IntImm) for size in sizes):
        raise _cannot_hold(var, f"a shape that depends on data, {sizes}")
    dtype = str(kind.dtype.dtype)
    if dtype not in DTYPES:
        raise _cannot_hold(var, f"element type {dtype}")
    return tuple(int(size) for size in sizes), dtype


def _cannot_hold(var: Any, what: str) -> LoweringError:
    return LoweringError(
        f"{what} cannot be planned ahead of time",
        at=Location("main", getattr(var, "name", str(var))),
        hint="use the backend ort",
    )

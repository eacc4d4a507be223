"""A program decided ahead of time: where every tensor lives and which kernel runs when.

``plan_source`` prints an ``AotPlan`` as C; ``suture.codegen.walk`` makes one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from suture.codegen.render import render

Space = Literal["input", "output", "arena", "weights"]
COPY = "copy"
"""A kernel of the runtime's own: copies its first argument to its second."""
SKIP_UNLESS, SKIP_IF = "skip_unless", "skip_if"
"""Kernels of the runtime's own: leave calls out where a truth value is false, or is true."""
OWN = frozenset({COPY, SKIP_UNLESS, SKIP_IF})

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


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Bytes of a buffer seen with one shape; several tensors may see the same bytes.

    Attributes:
        space: Whose memory it is.
        buffer: Number of the caller's input or output; 0 in the arena and the weights.
        offset: Bytes from the beginning of that memory.
        shape: Sizes of the axes; empty for a scalar.
        dtype: NumPy's name of the element type.
    """

    space: Space
    buffer: int = 0
    offset: int = 0
    shape: tuple[int, ...]
    dtype: str

    @property
    def nbytes(self) -> int:
        """Bytes of the packed elements."""
        return math.prod(self.shape) * DTYPES[self.dtype][1] // 8


@dataclass(frozen=True)
class Call:
    """One run of a kernel over tensors, given by position, inputs first.

    Attributes:
        kernel: Its name.
        args: Positions of the tensors.
        skip: How many calls after it are left out where its kernel says so.
        workspace: What it may use besides: where that begins in the arena, and its bytes.
    """

    kernel: str
    args: tuple[int, ...]
    skip: int = 0
    workspace: tuple[int, int] = (0, 0)


@dataclass(frozen=True, kw_only=True)
class AotPlan:
    """Everything a program does, with no decision left for run time.

    Attributes:
        tensors: Every tensor that a call names.
        calls: Kernels in the order they run.
        inputs: The caller's input buffers, in the order of the model's inputs.
        outputs: The caller's output buffers, in the order of the model's outputs.
        arena_bytes: Memory for activations and workspaces.
        weights: The constants at their offsets.
        threads: The most that kernels make use of.
    """

    tensors: tuple[Tensor, ...]
    calls: tuple[Call, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    arena_bytes: int
    weights: bytes = field(repr=False)
    threads: int = 1

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the compiled kernels in use, sorted."""
        return tuple(sorted({call.kernel for call in self.calls} - OWN))


def plan_source(plan: AotPlan, kernels: Sequence[str], number: int = 0) -> str:
    """Return a plan as C.

    Args:
        plan: The plan.
        kernels: Names of the library's compiled kernels, in the order of its tables.
        number: Which of the library's programs it is.
    """
    shapes = sorted({tensor.shape for tensor in plan.tensors})
    tensors = [
        {
            "space": tensor.space.upper(),
            "buffer": tensor.buffer,
            "offset": tensor.offset,
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
        number=number,
        kernels=kernels,
        shapes=shapes,
        tensors=tensors,
        calls=plan.calls,
        input_bytes=[tensor.nbytes for tensor in plan.inputs],
        output_bytes=[tensor.nbytes for tensor in plan.outputs],
        arena_bytes=plan.arena_bytes,
        threads=plan.threads,
    )

"""What a statement of a lowered program says of its tensor."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from suture.codegen.aot import DTYPES
from suture.codegen.lower import LoweringError
from suture.errors import Location


def byte_offset(call: Any) -> int:
    """Return how far into its operand a view begins."""
    if getattr(call.op, "name", None) != "relax.memory.view":
        return 0
    offset = call.args[3]
    return int(offset) if isinstance(offset, tvm.tirx.IntImm) else 0


def tensor_type(var: Any) -> tuple[tuple[int, ...], str]:
    """Return the shape and element type of a Relax variable.

    Raises:
        LoweringError: The shape depends on data, or a package cannot hold the element type.
    """
    kind = var.ty
    tensor = isinstance(kind, relax.TensorType)
    if not tensor or kind.shape is None or kind.dtype is None:
        raise cannot_hold(var, f"a value of type {kind}")
    sizes = list(kind.shape)
    if not all(isinstance(size, tvm.tirx.IntImm) for size in sizes):
        raise cannot_hold(var, f"a shape that depends on data, {sizes}")
    dtype = str(kind.dtype.dtype)
    if dtype not in DTYPES:
        raise cannot_hold(var, f"element type {dtype}")
    return tuple(int(size) for size in sizes), dtype


def cannot_hold(var: Any, what: str) -> LoweringError:
    """Return the error of a statement that cannot be decided ahead of time."""
    return LoweringError(
        f"{what} cannot be planned ahead of time",
        at=Location("main", getattr(var, "name", str(var))),
        hint="use the backend ort",
    )

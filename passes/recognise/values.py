"""What can be read of a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import constant_of

DEFAULT_DOMAINS = ("", "ai.onnx")
FLOAT = ir.DataType.FLOAT


def is_static(value: ir.Value | None) -> bool:
    """Whether a value is a float32 tensor of known shape with no empty axis."""
    return is_fixed(value) and value is not None and value.dtype == FLOAT


def is_fixed(value: ir.Value | None) -> bool:
    """Whether a value's shape is known and has no empty axis."""
    return (
        value is not None
        and value.shape is not None
        and value.shape.is_static()
        and all(value.shape.numpy())
    )


def shape_of(value: ir.Value | None) -> tuple[int, ...]:
    """Return a static value's shape."""
    assert value is not None
    assert value.shape is not None
    return tuple(value.shape.numpy())


def is_constant(value: ir.Value | None) -> bool:
    """Whether a value's numbers are known."""
    return constant_of(value) is not None


def numbers_of(value: ir.Value | None) -> npt.NDArray[Any] | None:
    """Return a constant's numbers, or None where they are not known or can be overridden."""
    tensor = constant_of(value)
    return None if tensor is None else tensor.numpy()


def is_matrix(value: ir.Value | None) -> bool:
    """Whether a value is a constant matrix."""
    return is_constant(value) and is_static(value) and len(shape_of(value)) == 2


def is_vector(value: ir.Value | None, size: int) -> bool:
    """Whether a value is a constant with one number for each of the last axis."""
    if not is_constant(value) or not is_static(value):
        return False
    shape = shape_of(value)
    return shape[-1:] == (size,) and int(np.prod(shape)) == size

"""Arithmetic with constants as a scale and an offset for each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import constant_of

AFFINE = frozenset({"Add", "Sub", "Mul", "Div"})
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Affine:
    """``x * scale + offset`` by channel; both ``(channels,)``."""

    value: ir.Value
    scale: Array
    offset: Array


def as_affine(node: ir.Node, channels: int, rank: int, *, axis: int = 1) -> Affine | str:
    """Return arithmetic with a constant as scale and offset, or why it is not that.

    Args:
        node: One of ``AFFINE``.
        channels: Channels of what it is done to.
        rank: Rank of what it is done to.
        axis: Where the channels lie.
    """
    left, right = node.inputs
    number, value, flipped = constant_of(right), left, False
    if number is None:
        number, value, flipped = constant_of(left), right, True
    if number is None or value is None:
        return "neither side is constant"
    array = number.numpy().astype(np.float64)
    if not np.isfinite(array).all():
        return "the constant is not finite"
    shape = (1,) * (rank - array.ndim) + array.shape
    if len(shape) != rank or any(
        size != 1 and (place != axis or size != channels) for place, size in enumerate(shape)
    ):
        return "the constant is not a scalar or one number a channel"
    if value.shape is None or len(value.shape) != rank:
        return "the constant may give the image its rank"
    if array.size > 1 and value.shape[axis] != channels:
        return "the constant may give the image its channels"
    numbers = np.broadcast_to(array.reshape(-1), (channels,))
    one, none = np.ones(channels), np.zeros(channels)
    match node.op_type:
        case "Add":
            return Affine(value, one, numbers)
        case "Sub":
            return Affine(value, -one, numbers) if flipped else Affine(value, one, -numbers)
        case "Mul":
            return Affine(value, numbers, none)
    return (
        "a constant divided by the image is not linear"
        if flipped
        else (Affine(value, 1 / numbers, none) if numbers.all() else "it divides by zero")
    )

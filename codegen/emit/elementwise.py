"""Emit what works element by element, done to twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers, padded
from suture.codegen.schedule.base import ceil_div

ELEMENTWISE = (
    "Add",
    "Sub",
    "Mul",
    "Relu",
    "LeakyRelu",
    "Sigmoid",
    "HardSwish",
    "HardSigmoid",
    "Tanh",
)
"""Operators that may be done to twins, where every operand has one of the same shape."""


def emit_elementwise(emitter: Emitter, operator: Operator) -> Any | None:
    """Do an operator to the operands' twins; None where one has none of the same shape.

    A constant for each channel, or one for all, has a twin of its own.
    """
    first = operator.inputs[0]
    if first not in emitter.twins:
        return None
    blocks, _, _, lanes = dims(emitter.twins[first])
    if 2 * dims(first)[1] <= blocks * lanes:
        # Most of the twin is padding, on which a function costs as much.
        return None
    twins = [_operand(emitter, x, first) for x in operator.inputs]
    if any(twin is None for twin in twins):
        return None
    return emitter.plain(emitter.builder.emit(operator.stock(twins)), dims(first)[1])


def _operand(emitter: Emitter, value: Any, like: Any) -> Any | None:
    """Return the twin of an operand, or None where it has none of that shape."""
    if value in emitter.twins:
        return emitter.twins[value] if dims(value) == dims(like) else None
    if not isinstance(value, tvm.ir.GenericConst) or value.ty.dtype != "float32":
        return None
    array, (_, channels, _, _) = numbers(value), dims(like)
    if array.size == 1:
        return relax.const(array.reshape(()))
    if array.size == channels and array.shape[-3:] == (channels, 1, 1):
        return _channels(emitter, array)
    return None


def _channels(emitter: Emitter, vector: npt.NDArray[np.float32]) -> Any:
    """Return a constant for each channel as it is added to a twin."""
    lanes = emitter.processor.lanes
    blocks = ceil_div(vector.size, lanes)
    whole = padded(vector.reshape(-1), blocks * lanes)
    return relax.const(whole.reshape(blocks, 1, 1, lanes))

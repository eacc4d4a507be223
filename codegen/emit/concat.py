"""Emit concatenations in which each part is one piece of the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.emit.strips import ROWS_AXIS, paste
from suture.codegen.schedule import join as joined


def emit_concat(emitter: Emitter, operator: Operator) -> Any | None:
    """Join channels of twins, or what else lies in one piece; None where nothing does."""
    inputs, lanes = operator.inputs, emitter.processor.lanes
    shape = dims(inputs[0])
    axis = operator.attributes.get("axis", 0) % len(shape)
    in_blocks = any(x in emitter.twins for x in inputs)
    if axis == 1 and in_blocks and all(dims(x)[1] % lanes == 0 for x in inputs):
        twin = join(emitter, [emitter.twin(x) for x in inputs], 0)
        return emitter.plain(twin, sum(dims(x)[1] for x in inputs))
    many = math.prod(shape[:axis]) > 1  # of one channel, rows lie one behind the other
    if (
        axis == ROWS_AXIS
        and len(shape) == 4
        and many
        and all(x in emitter.twins for x in inputs)
    ):
        return emitter.plain(paste(emitter, [emitter.twins[x] for x in inputs]), shape[1])
    return None if many else join(emitter, inputs, axis)


def join(emitter: Emitter, parts: Sequence[Any], axis: int) -> Any:
    """Return parts one behind the other along an axis."""
    shapes, dtype = [dims(part) for part in parts], str(parts[0].ty.dtype.dtype)
    function = emitter.function(
        ("join", *shapes, axis, dtype), lambda: joined.join(shapes, axis, dtype)
    )
    first = shapes[0]
    size = sum(shape[axis] for shape in shapes)
    kind = relax.TensorType((*first[:axis], size, *first[axis + 1 :]), dtype)
    return emitter.builder.emit(relax.call_tir(function, list(parts), kind))

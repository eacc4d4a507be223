"""Several images, each by itself: what a rule does to one, it does to each of a batch.

A value of several images stands for its images in one piece. Emitters see one image, so a
batch has the kernels and packed weights of one image, called once an image. An image of a
value that came in one piece is a view; images that were made apart are one piece only where
somebody reads them so, and then their makers write there.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import tvm
from tvm import relax

from suture.codegen.emit.base import Emit, Emitter, Operator
from suture.codegen.emit.concat import join
from suture.codegen.emit.operands import dims

RANK = 4


def emit_by_image(emitter: Emitter, operator: Operator, emit: Emit) -> Any | None:
    """Emit an operator for each image of its operands; None where ``emit`` gives None."""
    count = _count(operator)
    if count == 1:
        return emit(emitter, operator)
    inputs = [
        images_of(emitter, value)
        if _images(value) == count and (position == 0 or not _is_constant(value))
        else (value,) * count
        for position, value in enumerate(operator.inputs)
    ]
    made = []
    for image in zip(*inputs, strict=True):
        made.append(emit(emitter, replace(operator, inputs=list(image))))
        if made[-1] is None:
            return None
    whole = join(emitter, made, 0)
    emitter.images[whole] = tuple(made)
    return whole


def images_of(emitter: Emitter, value: Any) -> tuple[Any, ...]:
    """Return the images of a value, seen in it where they were not made apart."""
    if value not in emitter.images:
        count, *size = dims(value)
        if _is_constant(value):
            array = value.value.numpy()
            parts = [relax.const(array[n : n + 1]) for n in range(count)]
        else:
            dtype = str(value.ty.dtype.dtype)
            nbytes = math.prod(size) * tvm.DataType(dtype).bits // 8
            parts = [
                emitter.builder.emit(
                    relax.op.memory.view(value, (1, *size), dtype, n * nbytes)
                )
                for n in range(count)
            ]
        emitter.images[value] = tuple(parts)
    return emitter.images[value]


def _count(operator: Operator) -> int:
    """Return how many images an operator is done to."""
    first, *others = operator.inputs
    varying = [value for value in others if not _is_constant(value)]
    return max(1, *map(_images, (first, *varying)))


def _images(value: Any) -> int:
    """Return how many images a value holds; 0 where it holds none."""
    shape = getattr(getattr(value, "ty", None), "shape", None)
    if not isinstance(shape, relax.ShapeExpr) or len(shape.values) != RANK:
        return 0
    count = shape.values[0]
    return int(count) if isinstance(count, tvm.tirx.IntImm) else 0


def _is_constant(value: Any) -> bool:
    return isinstance(value, tvm.ir.GenericConst)

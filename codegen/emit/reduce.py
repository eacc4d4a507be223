"""Emit reductions along the last axes, and means over the pixels of twins."""

from __future__ import annotations

import math
from typing import Any

import tvm

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.emit.pool import emit_global_mean
from suture.codegen.emit.rows import is_float
from suture.codegen.schedule.reduce import Reduce, ReduceShape

KINDS = ("Sum", "Mean", "Max", "Min", "L1", "L2", "SumSquare")
REDUCTIONS = tuple(f"Reduce{kind}" for kind in KINDS)
PIXELS = (2, 3)


def emit_reduce(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit a reduction of float32; None over axes that are not the last ones.

    TVM's own loops go along the axis behind those that are reduced, in vectors; where there
    is none they add up number by number.
    """
    x, axes = operator.inputs[0], axes_of(operator)
    if not axes or not is_float(x):
        return None
    whole = dims(x)
    if over_pixels(operator) and x in emitter.twins:
        made = emit_global_mean(emitter, operator)
    elif axes == tuple(range(axes[0], len(whole))):
        made = _rows(emitter, operator, axes[0])
    else:
        return None
    if operator.attributes.get("keepdims", 1):
        kept = tuple(1 if axis in axes else size for axis, size in enumerate(whole))
    else:
        kept = tuple(size for axis, size in enumerate(whole) if axis not in axes)
    return emitter.reshaped(made, kept)


def over_pixels(operator: Operator) -> bool:
    """Whether an operator is the mean over all pixels of images."""
    return operator.name == "ReduceMean" and axes_of(operator) == PIXELS


def _rows(emitter: Emitter, operator: Operator, first: int) -> Any:
    """Emit a reduction of the axes from one on."""
    x, whole = operator.inputs[0], dims(operator.inputs[0])
    shape = ReduceShape(
        rows=math.prod(whole[:first]),
        columns=math.prod(whole[first:]),
        kind=operator.name.removeprefix("Reduce"),  # type: ignore[arg-type]
    )
    schedule = Reduce.space(shape, emitter.processor)[0]
    source = emitter.reshaped(x, (shape.rows, shape.columns))
    return emitter.call(
        schedule, (shape,), lambda: schedule.kernel(shape), [source], (shape.rows,)
    )


def axes_of(operator: Operator) -> tuple[int, ...] | None:
    """Return the axes in order, counted from the first; None where they are not known.

    They are an attribute or, in newer operator sets, an input; none at all means all of them.
    """
    x, *rest = operator.inputs
    if not is_float(x):
        return None
    rank = len(dims(x))
    given = rest[0] if rest else operator.attributes.get("axes")
    if isinstance(given, tvm.ir.GenericConst):
        given = given.value.numpy().reshape(-1)
    elif rest and given is not None:
        return None
    if given is None or len(given) == 0:
        return None if operator.attributes.get("noop_with_empty_axes", 0) else (*range(rank),)
    return tuple(sorted({int(axis) % rank for axis in given}))

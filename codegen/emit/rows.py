"""Emit what works on rows: softmax along the last axis, and normalisations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tvm
from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers
from suture.codegen.schedule.normalize import Normalize, NormShape
from suture.codegen.schedule.softmax import Softmax, SoftmaxShape


def emit_softmax(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``Softmax`` or ``LogSoftmax`` along the last axis; None along another one.

    Before operator set 13 it is over all axes from one on, from the second unless told.
    """
    x = operator.inputs[0]
    if not is_float(x) or x in emitter.twins:
        return None
    whole = dims(x)
    axis = operator.attributes.get("axis", -1 if operator.opset >= 13 else 1)
    first = axis + len(whole) if axis < 0 else axis
    if operator.opset >= 13 and first != len(whole) - 1:
        return None
    logarithm = operator.name == "LogSoftmax"
    columns = math.prod(whole[first:])
    shape = SoftmaxShape(rows=math.prod(whole[:first]), columns=columns, logarithm=logarithm)
    schedule = Softmax.space(shape, emitter.processor)[0]
    rows = (shape.rows, shape.columns)
    source = emitter.reshaped(x, rows)
    made = emitter.call(schedule, (shape,), lambda: schedule.kernel(shape), [source], rows)
    return emitter.reshaped(made, whole)


def emit_layer_norm(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``LayerNormalization``; None where its mean is wanted too."""
    x, factor = operator.inputs[:2]
    offset = operator.inputs[2] if len(operator.inputs) > 2 else None
    outputs = operator.attributes.get("tvm_custom", {}).get("num_outputs", 1)
    if outputs != 1 or not is_float(x):
        return None
    whole = dims(x)
    axis = operator.attributes.get("axis", -1) % len(whole)
    columns = math.prod(whole[axis:])
    for each in (factor, offset):
        if each is not None and math.prod(dims(each)) != columns:
            return None
    shape = NormShape(
        rows=math.prod(whole[:axis]),
        columns=columns,
        epsilon=float(operator.attributes.get("epsilon", 1e-5)),
        centred=operator.name == "LayerNormalization",
        offset=offset is not None,
    )
    vectors = [emitter.reshaped(v, (columns,)) for v in (factor, offset) if v is not None]
    return _normalized(emitter, shape, x, vectors)


def emit_instance_norm(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``InstanceNormalization``: rows are the channels of each image."""
    x, *vectors = operator.inputs
    if not is_float(x) or x in emitter.twins:
        return None
    if not all(isinstance(each, tvm.ir.GenericConst) for each in vectors):
        return None
    batch, channels, *size = dims(x)
    shape = NormShape(
        rows=batch * channels,
        columns=math.prod(size),
        epsilon=float(operator.attributes.get("epsilon", 1e-5)),
        channels=1,
    )
    tiled = [relax.const(np.tile(numbers(each).reshape(-1), batch)) for each in vectors]
    return _normalized(emitter, shape, x, tiled)


def _normalized(emitter: Emitter, shape: NormShape, x: Any, vectors: list[Any]) -> Any:
    rows = (shape.rows, shape.columns)
    schedule = Normalize.space(shape, emitter.processor)[0]
    source = emitter.reshaped(x, rows)
    made = emitter.call(
        schedule, (shape,), lambda: schedule.kernel(shape), [source, *vectors], rows
    )
    return emitter.reshaped(made, dims(x))


def is_float(value: Any) -> bool:
    """Whether a value is float32 of known shape with no empty axis."""
    kind = value.ty
    return (
        getattr(kind, "dtype", "") == "float32"
        and isinstance(kind.shape, relax.ShapeExpr)
        and all(isinstance(n, tvm.tirx.IntImm) and int(n) > 0 for n in kind.shape.values)
    )

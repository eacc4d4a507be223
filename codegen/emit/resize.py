"""Emit resizes of images over twins."""

from __future__ import annotations

from typing import Any

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.schedule.resize import Resize, ResizeShape


def emit_resize(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureResize(x, rows, columns)``."""
    x, *tables = operator.inputs
    twin = emitter.twin(x)
    blocks, height, width, lanes = dims(twin)
    shape = ResizeShape(
        blocks=blocks,
        height=height,
        width=width,
        rows=dims(tables[0])[1],
        columns=dims(tables[1])[1],
        linear=bool(operator.attributes["linear"]),
    )
    schedule = Resize.space(shape, emitter.processor)[0]
    made = emitter.call(
        schedule,
        (shape,),
        lambda: schedule.kernel(shape),
        [twin, *tables],
        (blocks, shape.rows, shape.columns, lanes),
    )
    return emitter.plain(made, dims(x)[1])

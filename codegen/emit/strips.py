"""Emit copies of rows of twins, and their putting together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tvm
from tvm import te

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers
from suture.codegen.schedule.paste import Paste, PasteShape

ROWS_AXIS = 2


def emit_slice(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``Slice`` of some rows of a twin; None for any other."""
    x, *bounds = operator.inputs
    given = [each for each in bounds if each is not None]
    if x not in emitter.twins or not 3 <= len(given) <= 4:
        return None
    if not all(isinstance(each, tvm.ir.GenericConst) for each in given):
        return None
    lists = [[int(number) for number in numbers(each).reshape(-1)] for each in given]
    starts, ends, axes, *steps = lists
    size = dims(x)[ROWS_AXIS]
    if axes not in ([ROWS_AXIS], [ROWS_AXIS - 4]) or (steps and steps[0] != [1]):
        return None
    first, last, _ = slice(starts[0], ends[0]).indices(size)
    if first >= last:
        return None
    blocks, _, width, lanes = dims(emitter.twins[x])
    made = emitter.builder.emit_te(
        lambda image: te.compute(
            (blocks, last - first, width, lanes),
            lambda b, i, j, v: image[b, i + first, j, v],
            name="rows",
        ),
        emitter.twins[x],
        primfunc_name_hint="some_rows",
    )
    return emitter.plain(made, dims(x)[1])


def paste(emitter: Emitter, strips: Sequence[Any]) -> Any:
    """Emit twins put together along their rows."""
    blocks, _, width, lanes = dims(strips[0])
    shape = PasteShape(
        blocks=blocks, rows=tuple(dims(strip)[1] for strip in strips), columns=width
    )
    schedule = Paste.space(shape, emitter.processor)[0]
    out = (blocks, sum(shape.rows), width, lanes)
    return emitter.call(schedule, (shape,), lambda: schedule.kernel(shape), strips, out)

"""Emit concatenations of channels over twins."""

from __future__ import annotations

from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims


def emit_concat(emitter: Emitter, operator: Operator) -> Any | None:
    """Join channels of twins; None where a block would have to be cut."""
    inputs, lanes = operator.inputs, emitter.processor.lanes
    if operator.attributes.get("axis") != 1:
        return None
    if not all(x in emitter.twins and dims(x)[1] % lanes == 0 for x in inputs):
        return None
    joined = relax.op.concat([emitter.twins[x] for x in inputs], axis=0)
    return emitter.plain(emitter.builder.emit(joined), sum(dims(x)[1] for x in inputs))

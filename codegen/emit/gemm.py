"""Emit products by a constant matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers, read_epilogue
from suture.codegen.schedule.gemm import Gemm, GemmShape


def emit_gemm(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureGemm(x, w, bias, residual)``."""
    x, w, bias, residual = operator.inputs
    weights, processor = numbers(w), emitter.processor
    if operator.attributes.get("transposed"):
        weights = weights.T
    depth, columns = weights.shape
    whole = (*dims(x)[:-1], columns)
    shape = GemmShape(rows=math.prod(whole[:-1]), depth=depth, columns=columns)
    epilogue = read_epilogue(operator.attributes, bias, residual)
    weights = np.ascontiguousarray(weights)

    def pack(schedule: Gemm) -> list[Any]:
        return [schedule.pack(weights, shape, processor)]

    schedule = emitter.choose(Gemm.space(shape, processor), shape, epilogue, pack)
    arguments = [emitter.reshaped(x, (shape.rows, depth)), *map(relax.const, pack(schedule))]
    if bias is not None:
        arguments.append(relax.const(numbers(bias).reshape(-1)))
    if residual is not None:
        arguments.append(emitter.reshaped(residual, (shape.rows, columns)))
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, processor),
        arguments,
        (shape.rows, columns),
    )
    return emitter.reshaped(made, whole)

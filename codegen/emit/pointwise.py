"""Emit what scales and shifts channels, alone or in front of a pointwise convolution."""

from __future__ import annotations

from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers, padded, read_epilogue
from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.pointwise import PointwiseConv, PointwiseShape


def emit_affine(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureAffine(x, scale, shift)``."""
    x, scale, shift = operator.inputs
    lanes = emitter.processor.lanes
    blocks = ceil_div(dims(x)[1], lanes)
    factor, term = (
        relax.const(padded(numbers(each), blocks * lanes).reshape(blocks, 1, 1, lanes))
        for each in (scale, shift)
    )
    value = relax.op.add(relax.op.multiply(emitter.twin(x), factor), term)
    if operator.attributes["clipped"]:
        value = relax.op.nn.relu(emitter.builder.emit(value))
    return emitter.plain(emitter.builder.emit(value), dims(x)[1])


def emit_pointwise(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureConv(x, w, bias, residual, scale, shift)`` of one tap and stride 1."""
    x, w, bias, residual, scale, shift = operator.inputs
    weights, processor, lanes = numbers(w), emitter.processor, emitter.processor.lanes
    _, channels, height, width = dims(x)
    shape = PointwiseShape(
        channels=channels,
        filters=len(weights),
        pixels=height * width,
        clipped=bool(operator.attributes["clipped"]),
    )
    epilogue = read_epilogue(operator.attributes, bias, residual)
    seen, blocks = ceil_div(channels, lanes), ceil_div(shape.filters, lanes)
    prologue = [padded(numbers(each), seen * lanes) for each in (scale, shift)]

    def pack(schedule: PointwiseConv) -> list[Any]:
        return [*prologue, schedule.pack(weights, shape, processor)]

    schedule = emitter.choose(PointwiseConv.space(shape, processor), shape, epilogue, pack)
    out = (blocks, 1, shape.pixels, lanes)
    arguments = [
        emitter.reshaped(emitter.twin(x), (seen, *out[1:])),
        *map(relax.const, pack(schedule)),
    ]
    if bias is not None:
        arguments.append(relax.const(padded(numbers(bias).reshape(-1), blocks * lanes)))
    if residual is not None:
        arguments.append(emitter.reshaped(emitter.twin(residual), out))
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, processor),
        arguments,
        out,
    )
    return emitter.plain(emitter.reshaped(made, (blocks, height, width, lanes)), shape.filters)

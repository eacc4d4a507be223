"""Emit groups of transposed convolutions."""

from __future__ import annotations

from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers, padded, read_epilogue
from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.transposed import TransposedConv, TransposedShape


def emit_conv_transpose(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureConvTranspose(x, w, bias, residual)``."""
    x, w, bias, residual = operator.inputs
    attributes, processor = operator.attributes, emitter.processor
    weights = numbers(w)
    _, channels, height, width = dims(x)
    shape = TransposedShape(
        channels=channels,
        height=height,
        width=width,
        filters=weights.shape[1],
        kernel=(weights.shape[2], weights.shape[3]),
        strides=tuple(attributes["strides"]),
        pads=tuple(attributes["pads"]),
        out=tuple(attributes["out"]),
    )
    epilogue = read_epilogue(attributes, bias, residual)
    schedule = emitter.choose(
        TransposedConv.space(shape, processor),
        shape,
        epilogue,
        lambda each: [each.pack(weights, shape, processor)],
    )
    blocks = ceil_div(shape.filters, processor.lanes)
    packed = schedule.pack(weights, shape, processor)
    arguments = [emitter.twin(x), relax.const(packed)]
    if bias is not None:
        constant = padded(numbers(bias).reshape(-1), blocks * processor.lanes)
        arguments.append(relax.const(constant))
    if residual is not None:
        arguments.append(emitter.twin(residual))
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, processor),
        arguments,
        (blocks, *shape.out, processor.lanes),
    )
    return emitter.plain(made, shape.filters)

"""Emit grouped pointwise convolutions whose channels lie in any order."""

from __future__ import annotations

from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims, numbers, padded, read_epilogue
from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.gathered import GatheredConv, GatheredShape


def emit_gathered(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureConv`` of one tap, stride 1 and no padding; ``order`` may be given."""
    x, w, bias, residual = operator.inputs
    weights, processor, lanes = numbers(w), emitter.processor, emitter.processor.lanes
    _, channels, height, width = dims(x)
    shape = GatheredShape(
        channels=channels,
        filters=len(weights),
        groups=operator.attributes["groups"],
        pixels=height * width,
    )
    epilogue = read_epilogue(operator.attributes, bias, residual)

    def pack(schedule: GatheredConv) -> list[Any]:
        packed = schedule.pack(weights, shape, processor, operator.attributes.get("order"))
        return [packed.weights, packed.offsets, packed.segments]

    schedule = emitter.choose(GatheredConv.space(shape, processor), shape, epilogue, pack)
    blocks = ceil_div(shape.filters, lanes)
    out = (blocks, 1, shape.pixels, lanes)
    arguments = [
        emitter.reshaped(emitter.twin(x), (ceil_div(channels, lanes), *out[1:])),
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
    twin = emitter.reshaped(made, (blocks, height, width, lanes))
    return emitter.plain(twin, shape.filters)

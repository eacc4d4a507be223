"""Emit attention."""

from __future__ import annotations

import math
from typing import Any

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.schedule.attention import Attention, AttentionShape, Strided


def emit_attention(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureAttention(q, k, v, mask)``, each read where it lies."""
    attributes, processor = operator.attributes, emitter.processor
    query, key, value, mask = operator.inputs
    out = tuple(attributes["shape"])

    def laid(name: str, extent: int) -> Strided:
        offset, *strides = attributes[name]
        return Strided(extent=extent, offset=offset, strides=tuple(strides))

    sizes = ("batch", "heads", "queries", "keys", "size", "depth")
    shape = AttentionShape(
        **{name: attributes[name] for name in sizes},
        scale=float(attributes["scale"]),
        query=laid("q", math.prod(dims(query))),
        key=laid("k", math.prod(dims(key))),
        value=laid("v", math.prod(dims(value))),
        result=laid("result", math.prod(out)),
        mask=None if mask is None else laid("mask", math.prod(dims(mask))),
    )
    schedule = Attention.space(shape, processor)[0]
    arguments = [
        emitter.reshaped(each, (math.prod(dims(each)),))
        for each in operator.inputs
        if each is not None
    ]
    made = emitter.call(
        schedule,
        (shape,),
        lambda: schedule.kernel(shape, processor),
        arguments,
        (shape.result.extent,),
    )
    return emitter.reshaped(made, out)

"""Emit local response normalisations over twins."""

from __future__ import annotations

import math
from typing import Any

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.schedule.base import Epilogue
from suture.codegen.schedule.lrn import Lrn, LrnShape


def emit_lrn(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``LRN`` over a twin; None where there is none, or for a power not written here."""
    x, attributes = operator.inputs[0], operator.attributes
    if x not in emitter.twins:
        return None
    blocks, height, width, lanes = dims(emitter.twins[x])
    shape = LrnShape(
        channels=dims(x)[1],
        pixels=math.prod((height, width)),
        size=attributes["size"],
        alpha=attributes.get("alpha", 1e-4),
        beta=attributes.get("beta", 0.75),
        bias=attributes.get("bias", 1.0),
    )
    if not shape.fits(emitter.processor):
        return None
    epilogue = Epilogue()
    schedule = emitter.choose(Lrn.space(shape, emitter.processor), shape, epilogue)
    flat = (blocks, shape.pixels, lanes)
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, emitter.processor),
        [emitter.reshaped(emitter.twins[x], flat)],
        flat,
    )
    return emitter.plain(emitter.reshaped(made, (blocks, height, width, lanes)), dims(x)[1])

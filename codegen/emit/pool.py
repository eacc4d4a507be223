"""Emit pools and means over twins."""

from __future__ import annotations

from typing import Any

from tvm import relax

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.schedule.base import Epilogue
from suture.codegen.schedule.pool import Pool, PoolShape

PLAIN_VALUES = {"auto_pad": b"NOTSET", "ceil_mode": 0, "storage_order": 0}
"""Attributes that are understood only as they are by default."""


def emit_pool(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit ``MaxPool`` or ``AveragePool`` over a twin; None for kinds not written here."""
    x, given = operator.inputs[0], operator.attributes
    known = {"kernel_shape", "strides", "pads", "count_include_pad", "tvm_custom"}
    others = {name: value for name, value in given.items() if name not in known}
    usual = all(PLAIN_VALUES.get(name) == value for name, value in others.items())
    if x not in emitter.twins or not usual or len(given["kernel_shape"]) != 2:
        return None
    _, channels, height, width = dims(x)
    shape = PoolShape(
        channels=channels,
        height=height,
        width=width,
        kernel=tuple(given["kernel_shape"]),
        strides=tuple(given.get("strides", (1, 1))),
        pads=tuple(given.get("pads", (0, 0, 0, 0))),
        mean=operator.name == "AveragePool",
        counts_pads=bool(given.get("count_include_pad", 0)),
    )
    epilogue = Epilogue()
    schedule = emitter.choose(Pool.space(shape, emitter.processor), shape, epilogue)
    source = emitter.twins[x]
    blocks, _, _, lanes = dims(source)
    made = emitter.call(
        schedule,
        (shape, epilogue),
        lambda: schedule.kernel(shape, epilogue, emitter.processor),
        [source],
        (blocks, *shape.out, lanes),
    )
    return emitter.plain(made, channels)


def emit_global_mean(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit the mean over each channel of a twin, or None where there is no twin."""
    x = operator.inputs[0]
    if x not in emitter.twins:
        return None
    mean = relax.op.mean(emitter.twins[x], axis=[1, 2], keepdims=True)
    return emitter.plain(emitter.builder.emit(mean), dims(x)[1])

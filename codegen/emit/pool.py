"""Emit pools and means over twins."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx

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
    if emitter.twins[x].ty.dtype != "float32":
        return None if operator.name == "AveragePool" else _pool_integers(emitter, operator)
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


def _pool_integers(emitter: Emitter, operator: Operator) -> Any:
    """Emit a max-pool of quantised numbers, as TVM schedules it."""
    x, attributes = operator.inputs[0], operator.attributes
    kernel = tuple(attributes["kernel_shape"])
    strides = tuple(attributes.get("strides", (1, 1)))
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    blocks, height, width, lanes = dims(emitter.twins[x])
    out_h = (height + top + bottom - kernel[0]) // strides[0] + 1
    out_w = (width + left + right - kernel[1]) // strides[1] + 1

    def pool(image: Any) -> Any:
        read = image
        if top or left or bottom or right:
            read = te.compute(
                (blocks, height + top + bottom, width + left + right, lanes),
                lambda c, i, j, v: tirx.if_then_else(
                    tirx.all(i >= top, i < height + top, j >= left, j < width + left),
                    image[c, i - top, j - left, v],
                    tirx.min_value(image.dtype),
                ),
                name="padded",
            )
        y = te.reduce_axis((0, kernel[0]), "y")
        z = te.reduce_axis((0, kernel[1]), "x")
        return te.compute(
            (blocks, out_h, out_w, lanes),
            lambda c, i, j, v: te.max(
                read[c, i * strides[0] + y, j * strides[1] + z, v], axis=[y, z]
            ),
            name="pooled",
        )

    twin = emitter.builder.emit_te(pool, emitter.twins[x], primfunc_name_hint="max_pool")
    return emitter.plain(twin, dims(x)[1])


def emit_global_mean(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit the mean over each channel of a twin, or None where there is no twin."""
    x = operator.inputs[0]
    if x not in emitter.twins:
        return None
    mean = relax.op.mean(emitter.twins[x], axis=[1, 2], keepdims=True)
    return emitter.plain(emitter.builder.emit(mean), dims(x)[1])

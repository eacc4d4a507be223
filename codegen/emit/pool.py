"""Emit pooling and means over twins."""

from __future__ import annotations

from typing import Any

from tvm import relax, te, tirx

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims


def emit_max_pool(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit a max-pool over a twin; None where it is of a kind not written here."""
    x, attributes = operator.inputs[0], operator.attributes
    known = {"kernel_shape", "strides", "pads", "tvm_custom"}
    if x not in emitter.twins or set(attributes) - known:
        return None
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

"""Operators that TVM's importer gets wrong, made right with TVM's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from tvm import relax, te, tirx

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.operands import dims
from suture.codegen.emit.reduce import axes_of

op = relax.op


def emit_is_inf(emitter: Emitter, operator: Operator) -> Any | None:
    """Heed which of the infinities is asked for."""
    positive = operator.attributes.get("detect_positive", 1)
    negative = operator.attributes.get("detect_negative", 1)
    if positive and negative:
        return None
    (value,) = operator.inputs
    zero = _constant(0, value)
    side = op.greater(value, zero) if positive else op.less(value, zero)
    if not positive and not negative:
        side = op.not_equal(zero, zero)
    return emitter.builder.emit(op.logical_and(operator.stock([value]), side))


def emit_extreme(emitter: Emitter, operator: Operator) -> Any | None:
    """Compare two at a time, so that what is no number flows; stacked, it would be lost."""
    first, *others = operator.inputs
    if np.dtype(_dtype(first)).kind != "f" or not others:
        return None
    compare = op.maximum if operator.name == "Max" else op.minimum
    for other in others:
        first = emitter.builder.emit(compare(first, other))
    return first


def emit_bit_shift(emitter: Emitter, operator: Operator) -> Any:
    """Shift everything out where the distance is no bit's number; processors take its rest."""
    value, distance = operator.inputs
    dtype = _dtype(value)
    bits = _constant(np.iinfo(dtype).bits, distance)
    inside = op.less(distance, bits)
    if np.iinfo(dtype).min < 0:
        inside = op.logical_and(inside, op.greater_equal(distance, _constant(0, distance)))
    safe = emitter.builder.emit(op.where(inside, distance, _constant(0, distance)))
    gone = _constant(0, value)
    if np.iinfo(dtype).min < 0 and operator.attributes.get("direction") == b"RIGHT":
        gone = op.where(op.less(value, gone), _constant(-1, value), gone)
    shifted = operator.stock([value, safe])
    return emitter.builder.emit(op.where(inside, shifted, gone))


def emit_mod(emitter: Emitter, operator: Operator) -> Any | None:
    """Heed infinite divisors of reals, and give remainders of zero the divisor's sign."""
    value, divisor = operator.inputs
    if operator.attributes.get("fmod", 0) or np.dtype(_dtype(value)).kind != "f":
        return None
    rest = emitter.builder.emit(operator.stock([value, divisor]))
    zero = _constant(0, rest)
    apart = op.logical_xor(op.less(value, zero), op.less(divisor, zero))
    apart = op.logical_and(apart, op.not_equal(value, zero))
    unbounded = op.logical_and(op.isinf(divisor), op.logical_not(op.isinf(value)))
    rest = emitter.builder.emit(op.where(unbounded, op.where(apart, divisor, value), rest))
    signed = op.where(op.less(divisor, zero), _constant(-0.0, rest), zero)
    return emitter.builder.emit(op.where(op.equal(rest, zero), signed, rest))


def emit_pow(emitter: Emitter, operator: Operator) -> Any | None:
    """Raise to powers of another type, and whole numbers; the result is of the base's type."""
    base, exponent = operator.inputs
    kinds = [np.dtype(_dtype(each)).kind for each in operator.inputs]
    if kinds == ["f", "f"] and _dtype(base) == _dtype(exponent):
        return None
    wide = "float32" if kinds == ["f", "f"] else "float64"
    power = op.power(op.astype(base, wide), op.astype(exponent, wide))
    return emitter.builder.emit(op.astype(power, _dtype(base)))


def emit_sign(emitter: Emitter, operator: Operator) -> Any | None:
    """Let what is no number flow."""
    (value,) = operator.inputs
    if np.dtype(_dtype(value)).kind != "f":
        return None
    signs = operator.stock([value])
    return emitter.builder.emit(op.where(op.isnan(value), value, signs))


def emit_thresholded_relu(emitter: Emitter, operator: Operator) -> Any:
    """Choose rather than multiply by 0 or 1: what is not above the threshold is 0."""
    (value,) = operator.inputs
    above = op.greater(value, _constant(operator.attributes.get("alpha", 1.0), value))
    return emitter.builder.emit(op.where(above, value, _constant(0, value)))


def emit_log_sum_exp(emitter: Emitter, operator: Operator) -> Any | None:
    """Shift by the largest number only where it is finite: infinities differ by no number."""
    value, axes = operator.inputs[0], axes_of(operator)
    if not axes:
        return None
    most = emitter.builder.emit(op.max(value, axes, keepdims=True))
    shift = emitter.builder.emit(op.where(op.isinf(most), _constant(0, most), most))
    total = op.sum(op.exp(op.subtract(value, shift)), axes, keepdims=True)
    whole = emitter.builder.emit(op.add(op.log(total), shift))
    if operator.attributes.get("keepdims", 1):
        return whole
    return emitter.builder.emit(op.squeeze(whole, axes))


def emit_bit_cast(emitter: Emitter, operator: Operator) -> Any | None:
    """See the bits of each element as one of another type."""
    (value,) = operator.inputs
    dtype = onnx.helper.tensor_dtype_to_np_dtype(operator.attributes["to"]).name

    def see(bits: Any) -> Any:
        return te.compute(
            bits.shape, lambda *i: tirx.reinterpret(dtype, bits(*i)), name="seen"
        )

    return emitter.builder.emit_te(see, value, primfunc_name_hint="bit_cast")


def emit_eye_like(emitter: Emitter, operator: Operator) -> Any:
    """Return what no input changes but by its shape."""
    rows, columns = dims(operator.inputs[0])
    wanted = operator.attributes.get("dtype")
    dtype = (
        np.dtype(_dtype(operator.inputs[0]))
        if wanted is None
        else onnx.helper.tensor_dtype_to_np_dtype(wanted)
    )
    ones = np.eye(rows, columns, operator.attributes.get("k", 0), dtype)
    return relax.const(ones, dtype.name)


def _dtype(value: Any) -> str:
    return str(value.ty.dtype.dtype)


def _constant(number: float, like: Any) -> Any:
    return relax.const(number, _dtype(like))

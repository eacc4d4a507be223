"""Emit convolutions and products of quantised numbers, and the steps to and from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax, te, tirx

from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.conv import read_shape
from suture.codegen.emit.operands import Attributes, dims, numbers, padded
from suture.codegen.schedule.base import ceil_div
from suture.codegen.schedule.dot import Finish, Integers, is_mild
from suture.codegen.schedule.gemm import GemmShape
from suture.codegen.schedule.int8_conv import Int8Conv, Int8ConvShape
from suture.codegen.schedule.int8_depthwise import Int8Depthwise
from suture.codegen.schedule.int8_gemm import Int8Gemm, Int8GemmShape
from suture.codegen.schedule.int8_tile import Packed

SMALL = ("uint8", "int8")


def emit_qconv(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureQConv(x, w, scale, bias)`` of quantised x and int8 w."""
    x, w, scale, bias = operator.inputs
    attributes, weights, processor = operator.attributes, _array(w), emitter.processor
    lanes = processor.lanes
    conv = read_shape(dims(x), weights.shape, attributes, plain=False)
    shape = Int8ConvShape(
        conv=conv, source=_source(x, attributes), mild=is_mild(weights, axis=1)
    )
    finish = _read_finish(attributes)
    rule = Int8Conv if conv.groups == 1 else Int8Depthwise
    schedule = emitter.choose(
        rule.space(shape, processor),
        shape,
        finish,
        lambda each: _read_first(each.pack(weights, shape, processor)),
    )
    blocks = ceil_div(conv.filters, lanes)
    packed = schedule.pack(weights, shape, processor)
    made = emitter.call(
        schedule,
        (shape, finish),
        lambda: schedule.kernel(shape, finish, processor),
        [emitter.twin(x), *_constants(packed, scale, bias, blocks * lanes)],
        (blocks, *conv.out, lanes),
        finish.dtype,
    )
    return emitter.plain(made, len(weights))


def emit_qgemm(emitter: Emitter, operator: Operator) -> Any:
    """Emit ``SutureQGemm(x, w, scale, bias)`` of quantised x and int8 w."""
    x, w, scale, bias = operator.inputs
    weights, processor = _array(w), emitter.processor
    if operator.attributes.get("transposed"):
        weights = weights.T
    depth, columns = weights.shape
    whole = (*dims(x)[:-1], columns)
    shape = Int8GemmShape(
        gemm=GemmShape(rows=math.prod(whole[:-1]), depth=depth, columns=columns),
        source=_source(x, operator.attributes),
        mild=is_mild(weights, axis=0),
    )
    finish = _read_finish(operator.attributes)
    schedule = emitter.choose(
        Int8Gemm.space(shape, processor),
        shape,
        finish,
        lambda each: _read_first(each.pack(weights, shape, processor)),
    )
    packed = schedule.pack(weights, shape, processor)
    filters = ceil_div(columns, schedule.columns) * schedule.columns
    made = emitter.call(
        schedule,
        (shape, finish),
        lambda: schedule.kernel(shape, finish, processor),
        [
            emitter.reshaped(x, (shape.gemm.rows, depth)),
            *_constants(packed, scale, bias, filters),
        ],
        (shape.gemm.rows, columns),
        finish.dtype,
    )
    return emitter.reshaped(made, whole)


def emit_quantize(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit a QuantizeLinear of one constant scale; None for others."""
    x, scale, zero = _parameters(operator)
    dtype = "uint8" if len(operator.inputs) < 3 else _dtype(operator.inputs[2])
    if scale is None or zero is None or dtype not in SMALL or _dtype(x) != "float32":
        return None
    out = Integers(dtype=dtype, zero=zero)  # type: ignore[arg-type]

    def quantize(image: Any) -> Any:
        def element(*at: Any) -> Any:
            return Finish(out=out).apply(image(*at) / tirx.const(scale, "float32"), 1)

        return te.compute(image.shape, element, name="quantized")

    return _to_twin(emitter, x, quantize, "quantize")


def emit_dequantize(emitter: Emitter, operator: Operator) -> Any | None:
    """Emit a DequantizeLinear of one constant scale; None for others."""
    x, scale, zero = _parameters(operator)
    if scale is None or zero is None or _dtype(x) not in SMALL:
        return None

    def dequantize(image: Any) -> Any:
        def element(*at: Any) -> Any:
            value = (image(*at).astype("int32") - zero).astype("float32")
            return value * tirx.const(scale, "float32")

        return te.compute(image.shape, element, name="dequantized")

    return _to_twin(emitter, x, dequantize, "dequantize")


def _to_twin(emitter: Emitter, x: Any, compute: Any, name: str) -> Any:
    """Work element by element on a value's twin, or on the value where it has none."""
    twin = emitter.twins.get(x)
    if twin is None:
        return emitter.builder.emit_te(compute, x, primfunc_name_hint=name)
    made = emitter.builder.emit_te(compute, twin, primfunc_name_hint=name)
    return emitter.plain(made, dims(x)[1])


def _parameters(operator: Operator) -> tuple[Any, float | None, int | None]:
    """Return the operand, one scale and one zero; None for what is not one constant."""
    x, scale, *rest = operator.inputs
    zero = rest[0] if rest else None
    if not _is_one(scale) or not (zero is None or _is_one(zero)):
        return x, None, None
    return x, float(_array(scale).item()), 0 if zero is None else int(_array(zero).item())


def _is_one(value: Any) -> bool:
    return isinstance(value, tvm.ir.GenericConst) and _array(value).size == 1


def _array(value: Any) -> npt.NDArray[Any]:
    """Return a Relax constant as it is."""
    return np.asarray(value.value.numpy())


def _dtype(value: Any) -> str:
    return str(value.ty.dtype.dtype)


def _source(x: Any, attributes: Attributes) -> Integers:
    """Return how an operand is quantised."""
    return Integers(dtype=_dtype(x), zero=attributes["source_zero"])  # type: ignore[arg-type]


def _read_finish(attributes: Attributes) -> Finish:
    """Return what a group does to its sums."""
    out = None
    if "dtype" in attributes:
        dtype = attributes["dtype"].decode()
        out = Integers(dtype=dtype, zero=attributes["zero"])
    low, high = (
        float(attributes[name]) if name in attributes else None for name in ("low", "high")
    )
    return Finish(out=out, low=low, high=high)


def _read_first(packed: Packed) -> list[npt.NDArray[Any]]:
    """Return what a kernel reads behind its activations."""
    return [packed.weights] if packed.start is None else [packed.weights, packed.start]


def _constants(packed: Packed, scale: Any, bias: Any, filters: int) -> Sequence[Any]:
    """Return what a kernel reads besides activations."""
    vectors = [padded(numbers(each).reshape(-1), filters) for each in (scale, bias)]
    return [relax.const(each) for each in (*_read_first(packed), *vectors)]

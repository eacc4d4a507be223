"""Groups of quantised numbers: products between a DequantizeLinear and a QuantizeLinear.

Before: ``Conv(DequantizeLinear(x), DequantizeLinear(w), DequantizeLinear(b))`` → Relu →
``QuantizeLinear``. After: one node from quantised numbers to quantised numbers. Without a
QuantizeLinear behind it, the result is float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.codegen.groups.base import Group, constant
from suture.codegen.groups.conv import read_pads
from suture.passes.recognise.activation import clip_bounds
from suture.passes.recognise.integer import has_integer_kernel
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_fixed, numbers_of, shape_of

QCONV, QGEMM = "SutureQConv", "SutureQGemm"
INTEGERS = {ir.DataType.UINT8: "uint8", ir.DataType.INT8: "int8"}


@dataclass(frozen=True)
class Quanta:
    """Quantised numbers and what they mean: ``(value - zero) * scale``.

    Attributes:
        value: The numbers.
        scale: One, or one for each index of ``axis``.
        zero: Likewise.
        axis: Where there are several.
    """

    value: ir.Value
    scale: npt.NDArray[Any]
    zero: npt.NDArray[Any]
    axis: int


def dequantized(value: ir.Value | None) -> Quanta | None:
    """Return what a DequantizeLinear of constant scale makes a value from, or None."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return None
    return quanta(node, node.inputs[0])


def quanta(node: ir.Node, value: ir.Value | None) -> Quanta | None:
    """Return a value as a QuantizeLinear or DequantizeLinear of constant scale reads it."""
    scale, zero = numbers_of(node.inputs[1]), np.zeros((), np.int64)
    if value is None or scale is None or node.domain not in DEFAULT_DOMAINS or scale.ndim > 1:
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        given = numbers_of(node.inputs[2])
        if given is None:
            return None
        zero = given.astype(np.int64)
    if node.attributes.get_int("block_size", 0) or scale.dtype != np.float32:
        return None
    return Quanta(value, scale, zero, node.attributes.get_int("axis", 1))


def match_quantized(node: ir.Node) -> Group | None:
    """Return a convolution or a product of quantised numbers and what its kernel does."""
    if node.op_type not in ("Conv", "Gemm", "MatMul") or not is_fixed(node.outputs[0]):
        return None
    x, w = dequantized(node.inputs[0]), dequantized(node.inputs[1])
    if x is None or w is None or not is_fixed(x.value) or x.value.dtype not in INTEGERS:
        return None
    begin = _conv if node.op_type == "Conv" else _product
    filters_axis = _filters_axis(node)
    weights = _weights(w, filters_axis)
    made = None if weights is None or x.scale.size != 1 else begin(node, x, weights)
    if made is None or weights is None:
        return None
    filters = weights.shape[filters_axis]
    scale = np.broadcast_to(w.scale.astype(np.float64).reshape(-1), filters)
    bias = _bias(node.inputs[2] if len(node.inputs) > 2 else None, filters)
    if bias is None:
        return None
    group = made
    if node.op_type != "Conv":
        bias = bias + _added(group, filters)
    quantum = _finish(group)
    group.attributes["source_zero"] = int(x.zero.reshape(-1)[0])
    prefix = node.outputs[0].name
    group.inputs = [
        x.value,
        constant(node, f"{prefix}.weights", weights),
        constant(
            node,
            f"{prefix}.scale",
            (scale * float(x.scale.item()) / quantum).astype(np.float32),
        ),
        constant(node, f"{prefix}.bias", (bias / quantum).astype(np.float32)),
    ]
    return group


def _conv(node: ir.Node, x: Quanta, weights: npt.NDArray[np.int8]) -> Group | None:
    """Return the group of a convolution of one group of channels, or of one for each."""
    shape, kernel, groups = (
        shape_of(x.value),
        weights.shape,
        node.attributes.get_int("group", 1),
    )
    if len(shape) != 4 or not has_integer_kernel(kernel, groups):
        return None
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    dilations = list(node.attributes.get_ints("dilations", [1, 1]))
    pads = read_pads(node, shape[2:], kernel[2:], strides, dilations)
    if pads is None or min(pads) < 0:
        return None
    attributes = {"strides": strides, "dilations": dilations, "pads": pads, "groups": groups}
    return Group(QCONV, [node], [], attributes)


def _product(node: ir.Node, x: Quanta, weights: npt.NDArray[np.int8]) -> Group | None:
    """Return the group of a product by a matrix."""
    plain = (
        node.attributes.get_int("transA", 0) == 0
        and node.attributes.get_float("alpha", 1.0) == 1.0
        and node.attributes.get_float("beta", 1.0) == 1.0
    )
    if not plain or weights.ndim != 2 or len(shape_of(x.value)) < 2:
        return None
    return Group(QGEMM, [node], [], {"transposed": node.attributes.get_int("transB", 0)})


def _filters_axis(node: ir.Node) -> int:
    """Return the axis of the weights along which results lie."""
    transposed = node.attributes.get_int("transB", 0)
    return 0 if node.op_type == "Conv" or transposed else 1


def _weights(w: Quanta, axis: int) -> npt.NDArray[np.int8] | None:
    """Return weights as int8 whose zero is 0; None where they are no such constant."""
    numbers = numbers_of(w.value)
    if numbers is None or w.value.dtype not in INTEGERS or numbers.ndim <= axis:
        return None
    if w.scale.size > 1 and (w.axis % numbers.ndim, w.scale.size) != (
        axis,
        numbers.shape[axis],
    ):
        return None
    along = [1] * numbers.ndim
    along[axis] = -1
    centred = numbers.astype(np.int64) - w.zero.reshape(along)
    small = centred.astype(np.int8)
    return small if np.array_equal(small, centred) else None


def _bias(value: ir.Value | None, size: int) -> npt.NDArray[np.float64] | None:
    """Return a bias in float64, zeros where there is none; None where it is not constant."""
    if value is None:
        return np.zeros(size)
    numbers = numbers_of(value)
    if numbers is None:
        held = dequantized(value)
        given = None if held is None else numbers_of(held.value)
        if held is None or given is None or (held.scale.size > 1 and given.ndim > 1):
            return None
        numbers = (given.astype(np.float64) - held.zero) * held.scale.astype(np.float64)
    if numbers.size not in (1, size) or numbers.shape[-1:] not in ((), (1,), (size,)):
        return None
    return np.broadcast_to(numbers.reshape(-1).astype(np.float64), size)


def _added(group: Group, size: int) -> npt.NDArray[np.float64]:
    """Take in the addition of a constant for each column; return it, or zeros."""
    node = _follower(group)
    if node is not None and node.op_type == "Add":
        other = node.inputs[0] if node.inputs[1] is group.value else node.inputs[1]
        term = None if other is group.value else _bias(other, size)
        if term is not None and shape_of(node.outputs[0]) == shape_of(group.value):
            group.nodes.append(node)
            return term
    return np.zeros(size)


def _finish(group: Group) -> float:
    """Take in an activation and a QuantizeLinear; return the quantum of the result, or 1."""
    low, high = -np.inf, np.inf
    node = _follower(group)
    if node is not None and node.op_type in ("Relu", "Clip"):
        bounds = (0.0, np.inf) if node.op_type == "Relu" else clip_bounds(node)
        if bounds is not None and bounds[0] <= bounds[1]:
            low, high = bounds
            group.nodes.append(node)
            node = _follower(group)
    quantum = 1.0
    if node is not None and node.op_type == "QuantizeLinear":
        out = quanta(node, node.outputs[0])
        if out is not None and out.scale.size == 1 and out.value.dtype in INTEGERS:
            group.nodes.append(node)
            quantum = float(out.scale.item())
            group.attributes |= {
                "zero": int(out.zero.reshape(-1)[0]),
                "dtype": INTEGERS[out.value.dtype],
            }
    if low > -np.inf:
        group.attributes["low"] = low / quantum
    if high < np.inf:
        group.attributes["high"] = high / quantum
    return quantum


def _follower(group: Group) -> ir.Node | None:
    """Return the one node that reads what leaves a group, in the same graph, or None."""
    uses = list(group.value.uses())
    if len(uses) != 1 or group.value.is_graph_output():
        return None
    node = uses[0].node
    fits = node.domain in DEFAULT_DOMAINS and node.graph is group.nodes[0].graph
    return node if fits and node.inputs[0] is not None else None

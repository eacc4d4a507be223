"""Groups that begin with a convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.affine import absorbed, follower, term_of
from suture.codegen.groups.base import Group, constant
from suture.codegen.groups.epilogue import extend
from suture.passes.recognise.values import FLOAT, is_constant, is_static, numbers_of, shape_of

CONV = "SutureConv"


def match_conv(node: ir.Node) -> Group | None:
    """Return a convolution of constant weights and what its kernel does as well."""
    if node.op_type != "Conv" or not is_static(node.outputs[0]):
        return None
    x, w = node.inputs[:2]
    if not is_static(x) or not is_constant(w) or w is None or w.dtype != FLOAT:
        return None
    shape, kernel = shape_of(x), shape_of(w)
    if len(shape) != 4 or len(kernel) != 4:
        return None
    groups = node.attributes.get_int("group", 1)
    depthwise = groups > 1 and groups == shape[1] == kernel[0]
    strides = list(node.attributes.get_ints("strides", [1, 1]))
    dilations = list(node.attributes.get_ints("dilations", [1, 1]))
    pads = read_pads(node, shape[2:], kernel[2:], strides, dilations)
    if pads is None or min(pads) < 0:
        return None
    attributes = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "depthwise": int(depthwise),
        "groups": 1 if depthwise else groups,
    }
    pointwise = tuple(kernel[2:]) == (1, 1) and strides == [1, 1] and not any(pads)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None and not is_constant(bias):
        return None
    group = Group(CONV, [node], [x, w, bias, None], attributes)
    if pointwise and groups == 1:
        _prepend(group)
    _fold(group)
    extend(group, channels_last=False)
    return group


def _fold(group: Group) -> None:
    """Take constant factors and terms of channels behind a convolution into its weights."""
    conv, (_, w, bias, *_) = group.nodes[-1], group.inputs
    weights = np.asarray(numbers_of(w), np.float64)
    scale = np.ones(len(weights))
    given = numbers_of(bias)
    shift = np.zeros(len(weights)) if given is None else given.astype(np.float64)
    while (node := follower(group)) is not None:
        term = term_of(node, group.value, len(weights))
        if term is None:
            break
        group.nodes.append(node)
        if node.op_type == "Mul":
            scale, shift = scale * term, shift * term
        else:
            shift = shift + term
    if group.nodes[-1] is not conv:
        name = conv.outputs[0].name
        folded = (weights * scale.reshape(-1, 1, 1, 1)).astype(np.float32)
        group.inputs[1] = constant(conv, f"{name}.weights", folded)
        group.inputs[2] = constant(conv, f"{name}.bias", shift.astype(np.float32))


def _prepend(group: Group) -> None:
    """Take in what scales and shifts the image for this convolution alone."""
    source = group.inputs[0]
    affine = None if source is None else absorbed(source)
    if affine is not None:
        group.nodes.insert(0, affine)
        group.inputs[0] = affine.inputs[0]
        group.inputs += affine.inputs[1:]
        group.attributes["clipped"] = affine.attributes.get_int("clipped")


def read_pads(
    node: ir.Node,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int] | None:
    """Return pads as numbers, whatever ``auto_pad`` says."""
    auto = node.attributes.get_string("auto_pad", "NOTSET")
    if auto == "NOTSET":
        return list(node.attributes.get_ints("pads", [0, 0, 0, 0]))
    if auto == "VALID":
        return [0, 0, 0, 0]
    begins, ends = [], []
    for axis in range(2):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        steps = -(-size[axis] // strides[axis]) - 1
        total = max(steps * strides[axis] + reach - size[axis], 0)
        less, more = total // 2, total - total // 2
        begins.append(less if auto == "SAME_UPPER" else more)
        ends.append(more if auto == "SAME_UPPER" else less)
    return [*begins, *ends]

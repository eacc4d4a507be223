"""Fold the normalisation of an image into the first convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import (
    GraphPass,
    Names,
    PassContext,
    PassResult,
    add_constant,
    constant_of,
)
from suture.passes.fuse.absorb import absorb
from suture.passes.recognise.affine import AFFINE, as_affine

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class FoldNormalization(GraphPass):
    """Fold per-channel or scalar arithmetic before a Conv into its weights and bias.

    Before: ``y = Conv((x - mean) / std, w, b)``.
    After: ``y = Conv(x, w / std, b - sum(w * mean / std))``.
    An offset cannot move past zero padding, which pads what is normalised; a scale can.
    """

    name: ClassVar[str] = "fold-normalization"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Take the arithmetic in, nearest node first, as far as it goes."""
        return absorb(model, _arithmetic_before, fold)


def fold(conv: ir.Node, node: ir.Node, names: Names) -> str | None:
    """Fold one node of arithmetic into a Conv; return why not, or None where done."""
    weight, bias = constant_of(conv.inputs[1]), None
    if weight is None or len(weight.shape) < 3:
        return "the weights are not constant"
    if len(conv.inputs) > 2 and conv.inputs[2] is not None:
        bias = constant_of(conv.inputs[2])
        if bias is None:
            return "the bias is not constant"
    if len(node.outputs[0].uses()) > 1 or node.outputs[0].is_graph_output():
        return "the normalised value has other readers"
    groups = conv.attributes.get_int("group", 1)
    old = weight.numpy()
    affine = as_affine(node, int(old.shape[1]) * int(groups or 1), old.ndim)
    if isinstance(affine, str):
        return affine
    if affine.offset.any() and _pads(conv):
        return "an offset cannot move past zero padding"
    filters, channels = old.shape[:2]
    by_group = old.astype(np.float64).reshape(groups, filters // groups, *old.shape[1:])
    aside = (groups, 1, channels) + (1,) * (old.ndim - 2)
    new = (by_group * affine.scale.reshape(aside)).reshape(old.shape)
    added = (by_group * affine.offset.reshape(aside)).reshape(filters, -1).sum(1)
    total = added if bias is None else bias.numpy().astype(np.float64) + added
    conv.replace_input_with(0, affine.value)
    conv.replace_input_with(1, _constant(names, conv, "weight", new.astype(old.dtype)))
    if bias is not None or total.any():
        value = _constant(names, conv, "bias", total.astype(old.dtype))
        if len(conv.inputs) < 3:
            conv.resize_inputs(3)
        conv.replace_input_with(2, value)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    return None


def _arithmetic_before(conv: ir.Node) -> ir.Node | None:
    if conv.op_type != "Conv" or conv.domain not in ("", "ai.onnx"):
        return None
    value = conv.inputs[0]
    node = value.producer() if value is not None else None
    if node is None or node.op_type not in AFFINE or node.domain not in ("", "ai.onnx"):
        return None
    return node if any(constant_of(v) is not None for v in node.inputs) else None


def _pads(conv: ir.Node) -> bool:
    auto = conv.attributes.get_string("auto_pad", "NOTSET")
    pads = conv.attributes.get_ints("pads", ())
    return auto not in ("NOTSET", "VALID") or any(pads or ())


def _constant(names: Names, conv: ir.Node, part: str, data: Array) -> ir.Value:
    assert isinstance(conv.graph, ir.Graph)
    return add_constant(conv.graph, names.free(f"{_name(conv)}.{part}"), data)


def _name(conv: ir.Node) -> str:
    return conv.name or conv.outputs[0].name or conv.op_type

"""Fold the normalisation of an image into the first layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.absorb import absorb
from suture.passes.recognise.affine import AFFINE, as_affine

Array = npt.NDArray[Any]


FOLDS_INTO = frozenset({"Conv", "Gemm", "MatMul"})


@dataclass(frozen=True)
class FoldNormalization(EachGraphPass):
    """Fold per-channel or scalar arithmetic before a Conv or product into weights and bias.

    Before: ``y = Conv((x - mean) / std, w, b)``.
    After: ``y = Conv(x, w / std, b - sum(w * mean / std))``.
    An offset cannot move past zero padding, which pads what is normalised; a scale can. A
    MatMul has no bias, so it takes scales only.
    """

    name: ClassVar[str] = "fold-normalization"
    after: ClassVar[tuple[str, ...]] = (
        "fold-constants",
        "sink-arithmetic",
        "compose-arithmetic",
    )

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Take the arithmetic in, nearest node first, as far as it goes."""
        return absorb(graph, names, _arithmetic_before, fold)


def fold(layer: ir.Node, node: ir.Node, names: Names) -> str | None:
    """Fold one node of arithmetic into a layer; return why not, or None where done."""
    weight, bias = constant_of(layer.inputs[1]), None
    if weight is None or (layer.op_type == "Conv" and len(weight.shape) < 3):
        return "the weights are not constant"
    if len(layer.inputs) > 2 and layer.inputs[2] is not None:
        bias = constant_of(layer.inputs[2])
        if bias is None:
            return "the bias is not constant"
    if len(node.outputs[0].uses()) > 1 or node.outputs[0].is_graph_output():
        return "the normalised value has other readers"
    old = weight.numpy()
    read = _read_conv if layer.op_type == "Conv" else _read_product
    found = read(layer, node, old)
    if isinstance(found, str):
        return found
    value, new, added = found
    reason = _unfit_bias(layer, added, bias) if added.any() else None
    if reason is not None:
        return reason
    layer.replace_input_with(0, value)
    layer.replace_input_with(1, _constant(names, layer, "weight", new.astype(old.dtype)))
    if bias is not None or added.any():
        total = added if bias is None else bias.numpy().astype(np.float64) + added
        if len(layer.inputs) < 3:
            layer.resize_inputs(3)
        given = _constant(names, layer, "bias", total.astype(old.dtype))
        layer.replace_input_with(2, given)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    return None


def pads(conv: ir.Node) -> bool:
    """Whether a Conv adds zeros around what it reads."""
    auto = conv.attributes.get_string("auto_pad", "NOTSET")
    given = conv.attributes.get_ints("pads", ()) or ()
    return auto not in ("NOTSET", "VALID") or any(given)


def _read_conv(
    conv: ir.Node, node: ir.Node, old: Array
) -> tuple[ir.Value, Array, Array] | str:
    """Return what a Conv reads instead, with which weights and what more of a bias."""
    groups = conv.attributes.get_int("group", 1) or 1
    affine = as_affine(node, int(old.shape[1]) * int(groups), old.ndim)
    if isinstance(affine, str):
        return affine
    if affine.offset.any() and pads(conv):
        return "an offset cannot move past zero padding"
    filters, channels = old.shape[:2]
    by_group = old.astype(np.float64).reshape(groups, filters // groups, *old.shape[1:])
    aside = (groups, 1, channels) + (1,) * (old.ndim - 2)
    new = (by_group * affine.scale.reshape(aside)).reshape(old.shape)
    added = (by_group * affine.offset.reshape(aside)).reshape(filters, -1).sum(1)
    return affine.value, new, added


def _read_product(
    product: ir.Node, node: ir.Node, old: Array
) -> tuple[ir.Value, Array, Array] | str:
    """Return what a Gemm or MatMul reads instead, likewise."""
    value, weight = node.outputs[0], product.inputs[1]
    columns = bool(product.attributes.get_int("transA", 0))
    if columns or old.ndim != 2 or value.shape is None:
        return "it is no product of rows with a matrix"
    if weight is not None and len(weight.uses()) > 1:
        return "the weights are shared with another node"
    turned = product.attributes.get_int("transB", 0)
    rows, rank = (old.T if turned else old).astype(np.float64), len(value.shape)
    affine = as_affine(node, len(rows), rank, axis=rank - 1)
    if isinstance(affine, str):
        return affine
    new = rows * affine.scale[:, None]
    added = affine.offset @ rows * product.attributes.get_float("alpha", 1.0)
    return affine.value, new.T if turned else new, added


def _unfit_bias(layer: ir.Node, added: Array, bias: ir.TensorProtocol | None) -> str | None:
    """Return why nothing can be added to a layer's bias, or None."""
    if layer.op_type == "MatMul":
        return "a MatMul has no bias"
    if layer.attributes.get_float("beta", 1.0) != 1.0:
        return "the bias is scaled"
    if bias is not None and bias.numpy().size not in (1, added.size):
        return "the bias varies by row"
    return None


def _arithmetic_before(layer: ir.Node) -> ir.Node | None:
    if layer.op_type not in FOLDS_INTO or layer.domain not in ("", "ai.onnx"):
        return None
    value = layer.inputs[0]
    node = value.producer() if value is not None else None
    if node is None or node.op_type not in AFFINE or node.domain not in ("", "ai.onnx"):
        return None
    if node.graph is not layer.graph:
        return None
    if layer.op_type != "Conv" and constant_of(layer.inputs[1]) is None:
        return None
    return node if any(constant_of(v) is not None for v in node.inputs) else None


def _constant(names: Names, layer: ir.Node, part: str, data: Array) -> ir.Value:
    assert isinstance(layer.graph, ir.Graph)
    stem = layer.name or layer.outputs[0].name or layer.op_type
    return add_constant(layer.graph, names.free(f"{stem}.{part}"), data)

"""Fold arithmetic with constants into the weights before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.absorb import absorb
from suture.passes.recognise.affine import AFFINE, Affine, Array, as_affine
from suture.passes.recognise.values import DEFAULT_DOMAINS

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"})
FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
WEIGHT, BIAS = 1, 2


@dataclass(frozen=True)
class FoldAffine(EachGraphPass):
    """Make ``Conv(x, w, b) * s + o`` one Conv; so with ConvTranspose, products and norms.

    Before: ``t = Conv(x, w, b); u = Mul(t, s); y = Add(u, o)``.
    After: ``y = Conv(x, w * s, b * s + o)``.
    A MatMul has no bias, so it takes factors only. A BatchNormalization takes all of it into
    its scale and bias.
    """

    name: ClassVar[str] = "fold-affine"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Take the arithmetic in, nearest node first, as far as it goes."""
        return absorb(graph, names, _arithmetic_behind, fold)


def fold(node: ir.Node, arithmetic: ir.Node, names: Names) -> str | None:
    """Fold what reads a linear node into it; return why not, or None where done."""
    reason = _obstacle(node)
    if reason is not None:
        return reason
    weight, bias = constant_of(node.inputs[WEIGHT]), _bias(node)
    assert weight is not None
    array, shape = weight.numpy(), node.outputs[0].shape
    if shape is None:
        return "the rank of the output is not known"
    axis = len(shape) - 1 if node.op_type == "MatMul" else 1
    affine = as_affine(arithmetic, _channels(node, array), len(shape), axis=axis)
    if isinstance(affine, str):
        return affine
    if bias.size not in (1, affine.scale.size):
        return "the bias is not one number a channel"
    with np.errstate(over="ignore"):
        scaled = _scaled(node, array, affine).astype(array.dtype)
        total = (bias.reshape(-1) * affine.scale + affine.offset).astype(array.dtype)
    if not (np.isfinite(scaled).all() and np.isfinite(total).all()):
        return "the weights would overflow"
    _give(node, names, WEIGHT, scaled)
    if len(node.inputs) > BIAS or total.any():
        _give(node, names, BIAS, total)
    old, new = arithmetic.outputs[0], node.outputs[0]
    new.name, new.shape, new.type = old.name, old.shape, old.type
    assert node.graph is not None
    ir.convenience.replace_nodes_and_values(node.graph, node, [arithmetic], [], [old], [new])
    return None


def _arithmetic_behind(node: ir.Node) -> ir.Node | None:
    """Return arithmetic that reads a node and a constant, if the node could take it in."""
    if node.op_type not in LINEAR or node.domain not in DEFAULT_DOMAINS:
        return None
    uses = list(node.outputs[0].uses())
    behind = uses[0].node if uses else None
    if behind is None or behind.op_type not in AFFINE or behind.graph is not node.graph:
        return None
    if node.op_type == "MatMul" and behind.op_type in ("Add", "Sub"):
        return None
    known = [value for value in behind.inputs if constant_of(value) is not None]
    return behind if behind.domain in DEFAULT_DOMAINS and known else None


def _obstacle(node: ir.Node) -> str | None:
    """Return what keeps a node from being given other weights, or None."""
    if len(node.outputs[0].uses()) > 1 or node.outputs[0].is_graph_output():
        return f"the output of {node.op_type} has other readers"
    training = node.attributes.get_int("training_mode", 0) or len(node.outputs) > 1
    if node.op_type == "BatchNormalization" and training:
        return "it takes its statistics from the batch, as in training"
    given = [value for value in node.inputs[WEIGHT : BIAS + 1] if value is not None]
    if any(constant_of(value) is None for value in given):
        return "the weights are not constant"
    if any(value.dtype not in FLOATS for value in given):
        return "the weights are not of floating point"
    large = [value for value in given if value.shape is None or len(value.shape) > 1]
    if any(len(value.uses()) > 1 or value.is_graph_output() for value in large):
        return "the weights are shared with another node"
    if len(given) > 1 and node.attributes.get_float("beta", 1.0) != 1.0:
        return "the bias is scaled"
    return None


def _bias(node: ir.Node) -> Array:
    """Return the bias in double precision, one zero where there is none."""
    bias = constant_of(node.inputs[BIAS]) if len(node.inputs) > BIAS else None
    return np.zeros(1) if bias is None else bias.numpy().astype(np.float64)


def _channels(node: ir.Node, weight: Array) -> int:
    """Return the channels of a node's output."""
    match node.op_type:
        case "ConvTranspose":
            return int(weight.shape[1]) * (node.attributes.get_int("group", 1) or 1)
        case "MatMul":
            return int(weight.shape[-1])
        case "Gemm" if not node.attributes.get_int("transB", 0):
            return int(weight.shape[1])
    return int(weight.shape[0])


def _scaled(node: ir.Node, weight: Array, affine: Affine) -> Array:
    """Return weights with those of each channel scaled, in double precision."""
    if node.op_type == "MatMul" or (
        node.op_type == "Gemm" and not node.attributes.get_int("transB", 0)
    ):
        return np.asarray(weight * affine.scale)
    if node.op_type == "ConvTranspose":
        groups = node.attributes.get_int("group", 1) or 1
        apart = weight.reshape(groups, -1, *weight.shape[1:])
        aside = (groups, 1, weight.shape[1]) + (1,) * (weight.ndim - 2)
        return np.asarray(apart * affine.scale.reshape(aside)).reshape(weight.shape)
    return np.asarray(weight * affine.scale.reshape(-1, *(1,) * (weight.ndim - 1)))


def _give(node: ir.Node, names: Names, position: int, data: Array) -> None:
    """Put a new constant in place of an input."""
    stem = node.name or node.outputs[0].name or node.op_type
    name = names.free(f"{stem}.{'weight' if position == WEIGHT else 'bias'}")
    assert isinstance(node.graph, ir.Graph)
    if len(node.inputs) <= position:
        node.resize_inputs(position + 1)
    node.replace_input_with(position, add_constant(node.graph, name, data))

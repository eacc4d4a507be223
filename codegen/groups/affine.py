"""Groups that scale, shift and clip each channel: a normalisation that could not be folded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.codegen.groups.base import DOMAIN, Group, constant
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_static, numbers_of, shape_of

AFFINE = "SutureAffine"
Numbers = npt.NDArray[np.float64]


def match_affine(node: ir.Node) -> Group | None:
    """Return a BatchNormalization and the products, sums and Relu behind it."""
    if node.op_type != "BatchNormalization" or not is_static(node.inputs[0]):
        return None
    shape = shape_of(node.inputs[0])
    if len(shape) != 4 or node.attributes.get_int("training_mode", False):
        return None
    constants = [numbers_of(value) for value in node.inputs[1:5]]
    if len(constants) != 4 or any(each is None for each in constants):
        return None
    gamma, beta, mean, variance = (np.asarray(each, np.float64) for each in constants)
    with np.errstate(invalid="ignore", divide="ignore"):  # flows as in ONNX Runtime
        scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    group = Group(AFFINE, [node], [node.inputs[0], None, None], {"clipped": 0})
    scale, shift = _extend(group, scale, beta - mean * scale)
    for position, (name, vector) in enumerate((("scale", scale), ("shift", shift)), start=1):
        array = vector.astype(np.float32)
        group.inputs[position] = constant(node, f"{node.outputs[0].name}.{name}", array)
    return group


def absorbed(value: ir.Value) -> ir.Node | None:
    """Return the affine node behind a value that nothing else reads, or None."""
    node = value.producer()
    if node is None or (node.domain, node.op_type) != (DOMAIN, AFFINE):
        return None
    return node if len(list(value.uses())) == 1 and not value.is_graph_output() else None


def _extend(group: Group, scale: Numbers, shift: Numbers) -> tuple[Numbers, Numbers]:
    """Take in what follows; return scale and shift of all of it."""
    while True:
        node = follower(group)
        if node is None:
            return scale, shift
        if node.op_type == "Relu":
            group.nodes.append(node)
            group.attributes["clipped"] = 1
            return scale, shift
        term = term_of(node, group.value, scale.size)
        if term is None:
            return scale, shift
        group.nodes.append(node)
        if node.op_type == "Mul":
            scale, shift = scale * term, shift * term
        else:
            shift = shift + term


def follower(group: Group) -> ir.Node | None:
    """Return the only reader of what leaves a group, if it is one of ONNX's operators."""
    uses = list(group.value.uses())
    if len(uses) != 1 or group.value.is_graph_output():
        return None
    node = uses[0].node
    if node.domain not in DEFAULT_DOMAINS or node.graph is not group.nodes[0].graph:
        return None
    return node


def term_of(node: ir.Node, value: ir.Value, channels: int) -> Numbers | None:
    """Return what a node multiplies by or adds for each channel; None for anything else."""
    if node.op_type not in ("Mul", "Add"):
        return None
    other = node.inputs[0] if node.inputs[1] is value else node.inputs[1]
    numbers = numbers_of(other)
    if numbers is None or numbers.ndim > 4:
        return None
    if numbers.size == 1:
        return np.full(channels, numbers.reshape(()), np.float64)
    if numbers.size == channels and numbers.shape[-3:] == (channels, 1, 1):
        return numbers.reshape(-1).astype(np.float64)
    return None

"""Move what a product computes, by channel: its bias, or the mean that is taken off next."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, set_constant

Matrix = npt.NDArray[np.float64]


def _norm_of(node: ir.Node) -> ir.Node | None:
    """Return the batch normalisation that alone reads a node's result."""
    uses = node.outputs[0].uses()
    readers = [use.node for use in uses]
    if len(readers) != 1 or readers[0].op_type != "BatchNormalization":
        return None
    statistics = readers[0].inputs[3]
    return readers[0] if _is_own(statistics) else None


def _is_own(value: ir.Value | None) -> bool:
    return value is not None and value.is_initializer() and len(value.uses()) == 1


def channel_axis(node: ir.Node) -> int:
    """Return the axis of a product's result that its bias goes along."""
    return 1 if node.op_type in ("Conv", "ConvTranspose") else -1


def can_shift(node: ir.Node) -> bool:
    """Whether a node has, or can be given, a bias of its own."""
    if _norm_of(node) is not None:
        return True
    if node.op_type == "MatMul":
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type == "Gemm" and node.attributes.get_float("beta", 1.0) != 1.0:
        return False
    return bias is None or (_is_own(bias) and len(bias.shape or ()) == 1)


def shift(graph: ir.Graph, node: ir.Node, by: Matrix) -> bool:
    """Add to the result of a node, by channel.

    Returns:
        Whether the node's own result moves; otherwise that of the normalisation behind does.
    """
    norm = _norm_of(node)
    if norm is not None:
        _add(norm.inputs[3], -by)
        return False
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        _add(node.inputs[2], by)
        return True
    weight = node.inputs[1]
    assert weight is not None
    assert weight.dtype is not None
    name = Names(graph).free(f"{node.outputs[0].name}.bias")
    node.resize_inputs(3)
    bias = add_constant(graph, name, by.astype(weight.dtype.numpy()))
    node.replace_input_with(2, bias)
    return True


def _add(value: ir.Value | None, by: Matrix) -> None:
    assert value is not None
    assert value.const_value is not None
    old = value.const_value.numpy()
    set_constant(value, (old.astype(np.float64) + by).astype(old.dtype))

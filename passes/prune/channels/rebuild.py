"""Make what stays stand in for what went: weights by least squares, biases by their means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.base import add_constant, constant_of, free_name
from suture.passes.prune.channels.calibration import Moments, means
from suture.passes.prune.channels.groups import ChannelGroups
from suture.passes.prune.channels.readers import Reader
from suture.passes.prune.channels.sensitivity import ridged
from suture.passes.prune.channels.slicing import Mask, set_constant


def compensate(
    model: ir.Model, readers: Sequence[Reader], seen: Sequence[Moments], gone: Mask
) -> None:
    """Let kept channels carry what can be said of the others by them, before those are cut.

    The weights of what stays become those of least squared error in what the reader computes
    (channel pruning of He, Zhang and Sun 2017, over channels instead of taps).
    """
    for reader, each in zip(readers, seen, strict=True):
        lost = gone[reader.unit_groups]
        if not reader.mixes or not lost.any() or lost.all():
            continue
        products = ridged(each.products)
        share = np.linalg.solve(products[np.ix_(~lost, ~lost)], products[np.ix_(~lost, lost)])
        value = model.graph.initializers[reader.weight]
        assert value.const_value is not None
        weight = value.const_value.numpy()
        entries = np.moveaxis(weight, reader.weight_axis, 0).astype(np.float64)
        kept, cut_ = reader.units[~lost], reader.units[lost]
        entries[kept] += np.einsum("kl,le...->ke...", share, entries[cut_])
        set_constant(value, np.moveaxis(entries, 0, reader.weight_axis).astype(weight.dtype))


def correct_means(
    original: ir.Model,
    model: ir.Model,
    readers: Sequence[Reader],
    groups: ChannelGroups,
    gone: Mask,
    requests: Sequence[Arrays],
) -> None:
    """Move biases so that what readers compute has the mean it had, one after the other.

    Before BatchNormalization, its statistics move instead of a bias (bias correction of Nagel
    et al. 2019, with real data in place of assumptions about it).
    """
    nodes = {node.outputs[0].name: node for node in model.graph}
    affected = _behind(model, groups, gone)
    places = [
        (reader, nodes[reader.result], _channel_axis(nodes[reader.result]))
        for reader in readers
        if reader.result in affected and _can_shift(nodes[reader.result])
    ]
    names = [reader.result for reader, _, _ in places]
    axes = [axis for _, _, axis in places]
    wanted = means(original, names, axes, requests)
    for (reader, node, axis), want in zip(places, wanted, strict=True):
        keep = ~gone[groups.axes[reader.result][axis]]
        (have,) = means(model, [reader.result], [axis], requests)
        _shift(model.graph, node, want[keep] - have)


def _behind(model: ir.Model, groups: ChannelGroups, gone: Mask) -> set[str]:
    """Return the results of nodes that read, directly or not, what has lost channels."""
    found: set[str] = set()
    for node in model.graph:
        reads = [value for value in node.inputs if value is not None]
        if any(
            value.name in found or any(gone[axis].any() for axis in groups.of(value))
            for value in reads
        ):
            found |= {str(value.name) for value in node.outputs}
    return found


def _channel_axis(node: ir.Node) -> int:
    rank = len(node.outputs[0].shape or ())
    return 1 if node.op_type in ("Conv", "ConvTranspose") else rank - 1


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


def _can_shift(node: ir.Node) -> bool:
    """Whether a node has, or can be given, a bias of its own."""
    if _norm_of(node) is not None:
        return True
    if node.op_type == "MatMul":
        return False
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type == "Gemm" and node.attributes.get_float("beta", 1.0) != 1.0:
        return False
    return bias is None or (_is_own(bias) and len(bias.shape or ()) == 1)


def _shift(graph: ir.Graph, node: ir.Node, by: npt.NDArray[Any]) -> None:
    """Add to the result of a node, by channel."""
    norm = _norm_of(node)
    if norm is not None:
        _add(norm.inputs[3], -by)
        return
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        _add(node.inputs[2], by)
        return
    weight = constant_of(node.inputs[1])
    assert weight is not None
    name = free_name(graph, f"{node.outputs[0].name}.bias")
    node.resize_inputs(3)
    bias = add_constant(graph, name, by.astype(weight.numpy().dtype))
    node.replace_input_with(2, bias)


def _add(value: ir.Value | None, by: npt.NDArray[Any]) -> None:
    assert value is not None
    assert value.const_value is not None
    old = value.const_value.numpy()
    set_constant(value, (old.astype(np.float64) + by).astype(old.dtype))

"""Cut groups of channels out of a model: constants, shapes, and attributes that count them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of, set_constant
from suture.passes.prune.channels.attention import COUNTS, heads_of
from suture.passes.prune.channels.groups import ChannelGroups
from suture.passes.prune.channels.rules import is_depthwise

Mask = npt.NDArray[np.bool_]


def cut(model: ir.Model, groups: ChannelGroups, gone: Mask) -> None:
    """Remove groups, in place.

    Args:
        model: The model the groups were found in, or a copy.
        groups: All of its groups.
        gone: ``(groups,)``: those to remove; all of them free, and no axis of only them.
    """
    graph = model.graph
    made = [value for node in graph for value in node.outputs]
    depthwise = [
        node
        for node in graph
        if node.op_type == "Conv" and is_depthwise(node, len(groups.of(node.inputs[0])[1]))
    ]
    for value in (*graph.initializers.values(), *made):
        keep = [~gone[axis] for axis in groups.of(value)]
        if all(mask.all() for mask in keep):
            continue
        if value.const_value is not None:
            whole = value.const_value.numpy()
            set_constant(value, whole[np.ix_(*keep)])
        assert value.shape is not None
        value.shape = ir.Shape(
            [
                int(mask.sum()) if isinstance(size, int) else size
                for size, mask in zip(value.shape, keep, strict=True)
            ]
        )
    for node in depthwise:
        channels = int((~gone[groups.of(node.inputs[0])[1]]).sum())
        node.attributes["group"] = ir.AttrInt64("group", channels)
    for node in list(graph):
        if any(gone[axis].any() for value in node.outputs for axis in groups.of(value)) or any(
            gone[axis].any() for value in node.inputs[:1] for axis in groups.of(value)
        ):
            _recount(node, graph, groups, gone)


def _recount(node: ir.Node, graph: ir.Graph, groups: ChannelGroups, gone: Mask) -> None:
    """Name the new sizes where a node says them outright."""
    if node.op_type == "Reshape":
        shape = node.outputs[0].shape
        assert shape is not None
        old = constant_of(node.inputs[1])
        sizes = [int(size) for size in old.numpy()] if old is not None else []
        for axis, size in enumerate(shape):
            if axis < len(sizes) and sizes[axis] > 0 and isinstance(size, int):
                sizes[axis] = size
        _replace_sizes(node, sizes, graph)
    elif node.op_type == "Split":
        axis = node.attributes.get_int("axis", 0)
        sizes = [int((~gone[groups.of(value)[axis]]).sum()) for value in node.outputs]
        if "split" in node.attributes:
            node.attributes["split"] = ir.AttrInt64s("split", sizes)
        else:
            node.attributes.pop("num_outputs", None)
            _replace_sizes(node, sizes, graph)
    elif node.op_type == "Attention":
        for position, name in COUNTS.items():
            if name in node.attributes:
                count = node.attributes.get_int(name, 0)
                heads = heads_of(groups.of(node.inputs[position]), count)
                left = int((~gone[heads[:, 0]]).sum())
                node.attributes[name] = ir.AttrInt64(name, left)


def _replace_sizes(node: ir.Node, sizes: list[int], graph: ir.Graph) -> None:
    """Give a node a list of sizes of its own as the second input: others may share the old."""
    name = Names(graph).free(f"{node.outputs[0].name}.sizes")
    if len(node.inputs) < 2:
        node.resize_inputs(2)
    node.replace_input_with(1, add_constant(graph, name, np.array(sizes, np.int64)))

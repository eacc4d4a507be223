"""Channel shuffles, taken into the convolutions behind them.

Before: ``Reshape, Transpose, Reshape`` → depthwise convolution → pointwise convolution.
After: the depthwise convolution over channels as they lie → the pointwise one, told their
``order`` (Zhang et al., ShuffleNet, CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.base import DOMAIN
from suture.codegen.groups.conv import CONV
from suture.passes.recognise.values import is_static, numbers_of, shape_of

RESIDUAL = 3


def absorb_shuffles(model: ir.Model) -> int:
    """Take shuffles out of a grouped model, in place; return how many."""
    taken = 0
    for node in list(model.graph):
        if node.graph is None or node.op_type != "Reshape":
            continue
        shuffle = _shuffle(node)
        if shuffle is not None and _absorb(model.graph, *shuffle):
            taken += 1
    return taken


def _shuffle(first: ir.Node) -> tuple[list[ir.Node], list[int]] | None:
    """Return the nodes of a shuffle and, for each channel behind it, its place before."""
    turn = _only_user(first.outputs[0])
    last = None if turn is None else _only_user(turn.outputs[0])
    if (
        turn is None
        or last is None
        or turn.op_type != "Transpose"
        or last.op_type != "Reshape"
    ):
        return None
    ends = (first.inputs[0], first.outputs[0], last.outputs[0])
    if not all(map(is_static, ends)):
        return None
    if list(turn.attributes.get_ints("perm", [])) != [0, 2, 1, 3, 4]:
        return None
    before, apart, after = map(shape_of, ends)
    if before != after or before[2:] != apart[3:] or apart[0] != before[0]:
        return None
    order = np.arange(before[1]).reshape(apart[1], apart[2]).T.reshape(-1)
    return [first, turn, last], [int(place) for place in order]


def _absorb(graph: ir.Graph, shuffle: list[ir.Node], order: Sequence[int]) -> bool:
    """Put what stands before a shuffle into what stands behind it, if both can take it."""
    source, value = shuffle[0].inputs[0], shuffle[-1].outputs[0]
    middle = _only_user(value)
    if (
        source is None
        or middle is None
        or not _is_conv(middle)
        or middle.inputs[0] is not value
    ):
        return False
    last = middle
    if middle.attributes.get_int("depthwise", 0):
        found = _only_user(middle.outputs[0])
        if found is None or found.inputs[0] is not middle.outputs[0]:
            return False
        last = found
    if not takes_order(last):
        return False
    if last is not middle:
        if middle.inputs[RESIDUAL] is not None:
            return False
        for position in (1, 2):
            if middle.inputs[position] is not None:
                middle.replace_input_with(position, _placed(graph, middle, position, order))
    middle.replace_input_with(0, source)
    last.attributes["order"] = ir.AttrInt64s("order", list(order))
    graph.remove(list(reversed(shuffle)), safe=True)
    return True


def _placed(graph: ir.Graph, node: ir.Node, position: int, order: Sequence[int]) -> ir.Value:
    """Return a depthwise convolution's constant with each channel at its place."""
    old = node.inputs[position]
    numbers = numbers_of(old)
    assert old is not None
    assert numbers is not None
    placed = np.empty_like(numbers)
    placed[list(order)] = numbers
    tensor = ir.tensor(placed, name=f"{old.name}.placed.{node.name}")
    value = ir.Value(
        name=tensor.name, shape=old.shape, type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def takes_order(node: ir.Node) -> bool:
    """Whether a node is a pointwise convolution that may be told where its channels are."""
    return (
        _is_conv(node)
        and not node.attributes.get_int("depthwise", 0)
        and "order" not in node.attributes
        and shape_of(node.inputs[1])[2:] == (1, 1)
        and list(node.attributes.get_ints("strides")) == [1, 1]
        and not any(node.attributes.get_ints("pads"))
    )


def _is_conv(node: ir.Node) -> bool:
    return node.domain == DOMAIN and node.op_type == CONV


def _only_user(value: ir.Value) -> ir.Node | None:
    """Return the one node that reads a value, or None."""
    uses = list(value.uses())
    return None if len(uses) != 1 or value.is_graph_output() else uses[0].node

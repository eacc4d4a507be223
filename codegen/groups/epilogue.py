"""What follows a convolution or a product and is done before its sums are written.

Such a group's inputs are ``x, w, bias, residual``.
"""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.base import Group
from suture.passes.recognise.activation import find_activation
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    FLOAT,
    is_constant,
    is_static,
    is_vector,
    shape_of,
)

BIAS, RESIDUAL = 2, 3


def extend(group: Group, *, channels_last: bool) -> None:
    """Take in what follows, as long as nothing else reads what is in between.

    Args:
        group: A group of one node.
        channels_last: Whether a bias lies along the last axis.
    """
    while (node := _only_reader(group)) is not None:
        if node.op_type not in ("Add", "Sum") or len(node.inputs) != 2:
            break
        if not _add(group, node, channels_last=channels_last):
            break
    found = find_activation(group.value)
    if found is None or found.nodes[0].graph is not group.nodes[0].graph:
        return
    group.nodes += found.nodes
    group.attributes |= {"activation": found.activation, "low": found.low, "high": found.high}
    node = _only_reader(group)
    if node is not None and node.op_type == "Add":
        last = group.inputs[RESIDUAL] is None and _add(group, node, channels_last=False)
        group.attributes["residual_last"] = int(last)


def _only_reader(group: Group) -> ir.Node | None:
    """Return the node that alone reads what leaves a group, if it may be taken in."""
    uses = list(group.value.uses())
    if len(uses) != 1 or group.value.is_graph_output():
        return None
    node = uses[0].node
    known = node.domain in DEFAULT_DOMAINS and node.graph is group.nodes[0].graph
    return node if known else None


def _add(group: Group, node: ir.Node, *, channels_last: bool) -> bool:
    """Take in an addition, of a constant for each channel or of a tensor of the same shape."""
    value = group.value
    other = node.inputs[0] if node.inputs[1] is value else node.inputs[1]
    if other is None or other is value or other.dtype != FLOAT:
        return False
    if group.inputs[RESIDUAL] is not None:
        return False
    columns = shape_of(value)[-1]
    if channels_last and group.inputs[BIAS] is None and is_vector(other, columns):
        group.inputs[BIAS] = other
    elif is_static(other) and shape_of(other) == shape_of(value) and not is_constant(other):
        group.inputs[RESIDUAL] = other
    else:
        return False
    group.nodes.append(node)
    return True

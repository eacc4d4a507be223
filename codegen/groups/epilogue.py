"""What follows a convolution or a product and is done before its sums are written.

Such a group's inputs are ``x, w, bias, residual``.
"""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.base import DEFAULT_DOMAINS, Group
from suture.codegen.groups.values import (
    FLOAT,
    is_constant,
    is_static,
    is_vector,
    numbers_of,
    shape_of,
)

BIAS, RESIDUAL = 2, 3
LOWEST, HIGHEST = -3.4028234663852886e38, 3.4028234663852886e38


def extend(group: Group, *, channels_last: bool, residual: bool = True) -> None:
    """Take in what follows, as long as nothing else reads what is in between.

    Args:
        group: A group of one node.
        channels_last: Whether a bias lies along the last axis.
        residual: Whether the kernel can add a tensor of the output's shape.
    """
    while True:
        uses = list(group.value.uses())
        if len(uses) != 1 or group.value.is_graph_output():
            return
        node = uses[0].node
        if node.domain not in DEFAULT_DOMAINS or node.graph is not group.nodes[0].graph:
            return
        if node.op_type in ("Add", "Sum") and len(node.inputs) == 2:
            if not _add(group, node, channels_last=channels_last, residual=residual):
                return
        elif node.op_type == "Relu":
            group.attributes["activation"] = "relu"
            group.nodes.append(node)
            return
        elif node.op_type == "Clip":
            bounds = clip_bounds(node)
            if bounds is not None:
                group.attributes |= {"activation": "clip", "low": bounds[0], "high": bounds[1]}
                group.nodes.append(node)
            return
        else:
            return


def _add(group: Group, node: ir.Node, *, channels_last: bool, residual: bool) -> bool:
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
    elif (
        is_static(other)
        and shape_of(other) == shape_of(value)
        and not is_constant(other)
        and residual
    ):
        group.inputs[RESIDUAL] = other
    else:
        return False
    group.nodes.append(node)
    return True


def clip_bounds(node: ir.Node) -> tuple[float, float] | None:
    """Return a Clip's bounds, or None where they are not constant."""
    bounds = [LOWEST, HIGHEST]
    for position in (0, 1):
        if len(node.inputs) > position + 1 and node.inputs[position + 1] is not None:
            numbers = numbers_of(node.inputs[position + 1])
            if numbers is None or numbers.size != 1:
                return None
            bounds[position] = float(numbers.reshape(-1)[0])
    low = node.attributes.get_float("min", bounds[0])
    high = node.attributes.get_float("max", bounds[1])
    return float(low), float(high)

"""Turn axes before a reshape joins them, in place of after."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from suture.passes.base import Names
from suture.passes.making import new_node, new_reshape, put
from suture.passes.recognise.values import shape_of


def turned_before(
    before: Sequence[int], after: Sequence[int], perm: Sequence[int]
) -> list[int] | None:
    """Return the order of axes in which a reshape makes of them what it and a turn make.

    ``reshape(x).transpose(perm)`` is ``x.transpose(order)``, reshaped to the turned shape.

    Args:
        before: The sizes before the reshape.
        after: The sizes behind it; each is of some neighbours joined, or a one that is new.
        perm: The order in which these stand behind the turn.
    """
    groups: list[list[int]] = []
    at = 0
    for size in after:
        group, joined = [], 1
        while joined < size and at < len(before):
            joined *= before[at]
            group.append(at)
            at += 1
        if joined != size:
            return None
        groups.append(group)
    if any(size != 1 for size in before[at:]):
        return None
    groups[-1] += range(at, len(before))
    return [axis for place in perm for axis in groups[place]]


def put_before(
    graph: ir.Graph, names: Names, nodes: tuple[ir.Node, ir.Node, ir.Node], order: list[int]
) -> None:
    """Put one Transpose and one Reshape in place of a Transpose, a Reshape and a Transpose.

    Args:
        graph: Theirs.
        names: Its names.
        nodes: The three, each read by the next alone.
        order: What ``turned_before`` returns of the last two.
    """
    first, _, last = nodes
    source, shape = first.inputs[0], shape_of(last.outputs[0])
    assert source is not None
    perm = [first.attributes.get_ints("perm", ())[axis] for axis in order]
    made: list[ir.Node] = []
    if perm != sorted(perm):
        sizes = [shape_of(first.inputs[0])[axis] for axis in perm]
        turn = new_node(
            names,
            "Transpose",
            [source],
            name=f"{last.name}.composed",
            attributes={"perm": perm},
            shapes=[sizes],
            dtype=source.dtype,
        )
        made, source = [turn], turn.outputs[0]
    reshape = new_reshape(graph, names, source, shape, name=f"{last.name}.joined")
    put(graph, [*made, reshape], nodes)

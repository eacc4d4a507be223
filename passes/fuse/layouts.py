"""Make one of several nodes that only rearrange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, Note, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.exchange import exchange, plan
from suture.passes.fuse.merged_axes import put_before, turned_before
from suture.passes.making import new_node, new_reshape, put
from suture.passes.recognise.by_element import data_input, only_reader
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_fixed, shape_of

RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class ComposeLayouts(EachGraphPass):
    """Make two Transposes, or two nodes that only reshape, one or none.

    Before: ``t = Transpose<perm=[0,2,3,1]>(x); y = Transpose<perm=[0,3,1,2]>(t)``.
    After: readers of y read x. Two that do not cancel out become one.
    What works element by element between them is moved behind both. A Transpose that moves
    only axes of one element is a Reshape, and is composed as that. A Reshape that joins
    neighbouring axes between two Transposes goes behind both.
    """

    name: ClassVar[str] = "compose-layouts"

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Compose from the first node on, so that a chain of any length becomes one."""
        made, declined = [], []
        for node in list(graph):
            before = _before(node)
            if before is None:
                made += _turn_before(graph, names, node)
                continue
            first, between = before
            told = note(node, f"composed with {first.name or first.op_type}")
            reason = _obstacle(first, between, node)
            if reason is None:
                for each in reversed(between):
                    exchange(each, [node], names)
                _compose(graph, names, first, node)
                made.append(told)
            else:
                declined.append(note(node, reason))
        return made, declined


def _before(node: ir.Node) -> tuple[ir.Node, list[ir.Node]] | None:
    """Return what of a node's kind stands before it, and what works by element between."""
    kind = _kind(node)
    value = node.inputs[0] if kind else None
    between: list[ir.Node] = []
    while value is not None:
        first = value.producer()
        if first is None or first.graph is not node.graph:
            return None
        if _kind(first) == kind:
            return first, between
        place = data_input(first)
        if place is None or only_reader(value) is None:
            return None
        between.insert(0, first)
        value = first.inputs[place]
    return None


def _turn_before(graph: ir.Graph, names: Names, last: ir.Node) -> list[Note]:
    """Make two of a Transpose, a Reshape that joins axes and a Transpose; note it if done."""
    nodes, value = [last], last.inputs[0] if _kind(last) == "transpose" else None
    for kind in ("reshape", "transpose"):
        maker = None if value is None or only_reader(value) is None else value.producer()
        if maker is None or _kind(maker) != kind or maker.graph is not graph:
            return []
        nodes.insert(0, maker)
        value = maker.inputs[0]
    first, reshape, _ = nodes
    perms = [node.attributes.get_ints("perm", ()) for node in (first, last)]
    if not (all(perms) and is_fixed(reshape.inputs[0]) and is_fixed(reshape.outputs[0])):
        return []
    sizes = shape_of(reshape.inputs[0]), shape_of(reshape.outputs[0])
    order = turned_before(*sizes, perms[1])
    if order is None:
        return []
    told = note(last, f"turned before {reshape.name or reshape.op_type} joins axes")
    put_before(graph, names, (first, reshape, last), order)
    return [told]


def _kind(node: ir.Node) -> str | None:
    """Return ``transpose``, ``reshape``, or None for what is neither."""
    if node.domain not in DEFAULT_DOMAINS or len(node.outputs) != 1 or not node.inputs:
        return None
    if node.op_type == "Transpose":
        return "reshape" if _moves_nothing(node) else "transpose"
    return "reshape" if node.op_type in RESHAPES else None


def _moves_nothing(node: ir.Node) -> bool:
    """Whether a Transpose leaves the order of the elements as it is."""
    value, perm = node.inputs[0], node.attributes.get_ints("perm", None)
    if perm is None or not is_fixed(value):
        return False
    shape = shape_of(value)
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved) and list(perm) != sorted(perm)


def _obstacle(first: ir.Node, between: list[ir.Node], second: ir.Node) -> str | None:
    """Return what keeps two layouts from becoming one, or None."""
    middle = first.outputs[0]
    if middle.is_graph_output() or len(middle.uses()) > 1:
        return "what lies between has other readers"
    if _kind(second) == "reshape" and not is_fixed(second.outputs[0]):
        return "the shape behind it is not fixed"
    perms = [node.attributes.get_ints("perm", ()) for node in (first, second)]
    if _kind(second) == "transpose" and not all(perms):
        return "it turns the axes round, and their number is not told"
    plans = (plan(each, [second]) for each in between)
    return next((found for found in plans if isinstance(found, str)), None)


def _compose(graph: ir.Graph, names: Names, first: ir.Node, second: ir.Node) -> None:
    """Put one node, or none, in place of two that follow each other."""
    source = first.inputs[0]
    assert source is not None
    if _kind(second) == "reshape":
        shape = shape_of(second.outputs[0])
        same = is_fixed(source) and shape_of(source) == shape
    else:
        inner, outer = (node.attributes.get_ints("perm", ()) for node in (first, second))
        perm = [inner[axis] for axis in outer]
        same = perm == sorted(perm)
    if same and _pass_on(source, second):
        graph.remove([second, first], safe=True)
        return
    name = f"{second.name}.composed"
    if _kind(second) == "reshape":
        node = new_reshape(graph, names, source, shape, name=name)
    else:
        node = new_node(
            names,
            "Transpose",
            [source],
            name=name,
            attributes={"perm": perm},
            dtype=second.outputs[0].dtype,
        )
    put(graph, [node], [first, second])


def _pass_on(source: ir.Value, node: ir.Node) -> bool:
    """Let the readers of a node read a value, if the node names no output of the graph."""
    if node.outputs[0].is_graph_output():
        return False
    node.outputs[0].replace_all_uses_with(source)
    return True

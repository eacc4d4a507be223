"""Make one of several nodes that only rearrange."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import GraphPass, Names, PassContext, PassResult, note
from suture.passes.making import new_node, new_reshape, put
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_fixed, shape_of

RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


@dataclass(frozen=True)
class ComposeLayouts(GraphPass):
    """Make two Transposes, or two nodes that only reshape, one or none.

    Before: ``t = Transpose<perm=[0,2,3,1]>(x); y = Transpose<perm=[0,3,1,2]>(t)``.
    After: readers of y read x. Two that do not cancel out become one.
    A Transpose that moves only axes of one element is a Reshape, and is composed as that.
    """

    name: ClassVar[str] = "compose-layouts"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Compose from the first node on, so that a chain of any length becomes one."""
        made, declined, names = [], [], Names(model.graph)
        for node in list(model.graph):
            first = _before(node)
            if first is None:
                continue
            told = note(node, f"composed with {first.name or first.op_type}")
            reason = _compose(model.graph, names, first, node)
            if reason is None:
                made.append(told)
            else:
                declined.append(note(node, reason))
        return PassResult(model, made=tuple(made), declined=tuple(declined))


def _before(node: ir.Node) -> ir.Node | None:
    """Return what a node rearranges the result of, if that is of its own kind."""
    kind = _kind(node)
    first = node.inputs[0].producer() if kind and node.inputs[0] is not None else None
    if first is None or first.graph is not node.graph or _kind(first) != kind:
        return None
    return first


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


def _compose(graph: ir.Graph, names: Names, first: ir.Node, second: ir.Node) -> str | None:
    """Put one node, or none, in place of the second; return why not, or None where done."""
    middle, source = second.inputs[0], first.inputs[0]
    assert middle is not None
    assert source is not None
    if middle.is_graph_output() or len(middle.uses()) > 1:
        return "what lies between has other readers"
    if _kind(second) == "reshape":
        if not is_fixed(second.outputs[0]):
            return "the shape behind it is not fixed"
        shape = shape_of(second.outputs[0])
        if is_fixed(source) and shape_of(source) == shape and _pass_on(graph, source, second):
            graph.remove([second, first], safe=True)
            return None
        node = new_reshape(graph, names, source, shape, name=f"{second.name}.composed")
    else:
        perms = [node.attributes.get_ints("perm", None) for node in (first, second)]
        if perms[0] is None or perms[1] is None:
            return "it turns the axes round, and their number is not told"
        perm = [perms[0][axis] for axis in perms[1]]
        if perm == sorted(perm) and _pass_on(graph, source, second):
            graph.remove([second, first], safe=True)
            return None
        node = new_node(
            names,
            "Transpose",
            [source],
            name=f"{second.name}.composed",
            attributes={"perm": perm},
            dtype=second.outputs[0].dtype,
        )
    put(graph, [node], [first, second])
    return None


def _pass_on(graph: ir.Graph, source: ir.Value, node: ir.Node) -> bool:
    """Let the readers of a node read a value, if the node names no output of the graph."""
    if node.outputs[0].is_graph_output():
        return False
    node.outputs[0].replace_all_uses_with(source)
    return True

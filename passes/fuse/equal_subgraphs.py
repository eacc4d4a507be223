"""Run once what two components both compute."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.errors import Location
from suture.passes.base import Names, Note, note
from suture.passes.each_graph import EachGraphPass, Rewritten

NOT_COMPARED = (
    ir.AttributeType.TYPE_PROTO,
    ir.AttributeType.TYPE_PROTOS,
    ir.AttributeType.TENSORS,
    ir.AttributeType.SPARSE_TENSOR,
    ir.AttributeType.SPARSE_TENSORS,
)


@dataclass(frozen=True)
class MergeEqualSubgraphs(EachGraphPass):
    """Share equal weights, then equal nodes over equal inputs, also across components.

    Before: ``a = Conv(x, w1); b = Conv(x, w2)`` where ``w1`` and ``w2`` hold the same numbers.
    After: ``a = Conv(x, w1)``, read in place of both.
    Nodes are merged by onnx_ir; its sharing of weights keeps a copy of every one, or fails
    on text, so that it is written here.
    """

    name: ClassVar[str] = "merge-equal-subgraphs"

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Deduplicate initializers first, so that nodes over them become equal."""
        made = _share_weights(graph)
        nodes = {node: note(node, "an equal node runs already") for node in graph}
        apart = [
            (node, node.overload, hidden)
            for node in graph
            if (hidden := _not_compared(node)) or _names_output(node)
        ]
        for number, (node, _, hidden) in enumerate(apart):
            node.overload = f"{number} {node.overload}"  # else it might be merged
            for attribute in hidden:
                del node.attributes[attribute.name]
        alone = ir.Model(graph, ir_version=10)  # theirs looks at main graphs only
        ir_passes.CommonSubexpressionEliminationPass()(alone)
        for node, overload, hidden in apart:
            node.overload = overload
            for attribute in hidden:
                node.attributes.add(attribute)
        left = set(graph)
        made += [made for node, made in nodes.items() if node not in left]
        return made, []


def _share_weights(graph: ir.Graph) -> list[Note]:
    """Let the first of equal initializers of a graph stand for the others, in place."""
    alike: dict[object, list[tuple[ir.Value, ir.TensorProtocol]]] = defaultdict(list)
    for value in graph.initializers.values():
        tensor = value.const_value
        if tensor is None or value.is_graph_input() or value.is_graph_output():
            continue
        alike[tensor.dtype, tuple(tensor.shape.numpy())].append((value, tensor))
    made = []
    for values in alike.values():
        first: dict[bytes, ir.Value] = {}
        for value, tensor in values if len(values) > 1 else ():
            kept = first.setdefault(_digest(tensor), value)
            if kept is not value:
                value.replace_all_uses_with(kept)
                del graph.initializers[str(value.name)]
                at = Location(graph.name or "model", None, value.name)
                made.append(Note(at, "equal weights are stored once"))
    return made


def _digest(tensor: ir.TensorProtocol) -> bytes:
    """Return what only equal numbers of one type and shape have in common."""
    if tensor.dtype == ir.DataType.STRING:
        texts = ir.to_proto(tensor).string_data
        return hashlib.sha256(b"".join(b"%d:%b" % (len(t), t) for t in texts)).digest()
    return hashlib.sha256(tensor.tobytes()).digest()


def _names_output(node: ir.Node) -> bool:
    """Whether a node would be merged, and made again under the output's name."""
    return node.op_type == "Identity" and node.outputs[0].is_graph_output()


def _not_compared(node: ir.Node) -> list[ir.Attr]:
    """Return attributes that onnx_ir fails to compare: types, lists of tensors."""
    return [each for each in node.attributes.values() if each.type in NOT_COMPARED]

"""Find the node that a backend refuses, by offering it each node on its own."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir

from suture.compiler.model import opset_of
from suture.errors import BackendError


def find_node(model: ir.Model, attempt: Callable[[ir.Model], None]) -> ir.Node | None:
    """Return the first node of a model that fails alone, or None where all pass.

    Args:
        model: Its values carry element types, and shapes where they are known.
        attempt: Raises ``BackendError`` for a model that cannot be held.
    """
    for node in model.graph:
        alone = isolate(node, model)
        if alone is None:
            continue
        try:
            attempt(alone)
        except BackendError:
            return node
    return None


def isolate(node: ir.Node, model: ir.Model) -> ir.Model | None:
    """Return a model of one node: its constants stay, whatever else it reads is an input.

    None where that is not possible: a type is not known, or the node holds a graph, which
    may read any value around it.
    """
    used = {str(value.name): value for value in node.inputs if value is not None}
    made = [value for value in node.outputs if value.name]
    graphs = any(
        attribute.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
        for attribute in node.attributes.values()
    )
    if graphs or any(value.type is None for value in (*used.values(), *made)):
        return None
    constants = {n: v.const_value for n, v in used.items() if v.const_value is not None}
    graph = onnx.helper.make_graph(
        [ir.to_proto(node)],
        "node",
        [ir.to_proto(value) for name, value in used.items() if name not in constants],
        [ir.to_proto(value) for value in made],
        [ir.to_proto(constant) for constant in constants.values()],
    )
    opsets = {**model.opset_imports, "": opset_of(model)}
    imports = [onnx.helper.make_opsetid(*item) for item in opsets.items()]
    proto = onnx.helper.make_model(graph, opset_imports=imports, ir_version=model.ir_version)
    return ir.from_proto(proto)

"""Operators written out as ONNX itself defines them, by simpler ones.

The standard gives many operators a body: ``Attention`` is products, masks and a softmax. What
a backend lacks, or gets wrong, is replaced by that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.codegen.definitions import own_definition
from suture.compiler.model import infer_shapes, opset_of

logger = logging.getLogger(__name__)

DOMAINS = ("", "ai.onnx")
GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
"""What onnx_ir's inlining does not hand over to a body."""
ROUNDS = 4
"""Bodies in bodies: the deepest of the standard's."""


def expand(model: ir.Model, wanted: Callable[[ir.Node], bool]) -> bool:
    """Replace nodes by the bodies of their operators, in place; say whether any was.

    A node stays whose operator has no body in the model's operator set.

    Args:
        model: The model; where a body depends on types, they must be known.
        wanted: Whether a node should go.
    """
    changed = False
    for _ in range(ROUNDS):
        bodies = {
            node: body
            for node in model.graph
            if node.domain in DOMAINS and wanted(node) and (body := definition(node, model))
        }
        if not bodies:
            break
        for number, (node, body) in enumerate(bodies.items()):
            for position, value in enumerate(node.outputs):  # those left out have no names
                value.name = value.name or f"{body.name}.{number}.{position}"
            node.domain, node.overload = body.domain, f"{number}"
            body.overload = node.overload
            function = ir.from_proto(body)
            model.functions[function.identifier()] = function
            logger.info("operator %s of node %s is written out", node.op_type, node.name)
        ir_passes.InlinePass()(model)
        infer_shapes(model)
        changed = True
    return changed


def has_body(operator: str, model: ir.Model) -> bool:
    """Whether an operator can be defined by simpler ones in a model's operator set."""
    version = opset_of(model)
    try:
        schema: Any = onnx.defs.get_schema(operator, version, "")
    except onnx.defs.SchemaError:
        return False
    versions = (
        *schema.function_opset_versions,
        *schema.context_dependent_function_opset_versions,
    )
    return (
        any(each <= version for each in versions)
        or own_definition(operator, version) is not None
    )


def definition(node: ir.Node, model: ir.Model) -> onnx.FunctionProto | None:
    """Return the body of a node's operator, or None where there is none.

    Attributes that the node leaves out get their defaults, in place: bodies refer to them.
    """
    if any(attribute.type in GRAPHS for attribute in node.attributes.values()):
        return None
    version = opset_of(model)
    schema: Any = onnx.defs.get_schema(node.op_type, version, "")
    for name, attribute in schema.attributes.items():
        if name not in node.attributes and attribute.default_value.name:
            node.attributes[name] = ir.from_proto(attribute.default_value)
    body = _standard_body(node, schema, version) or own_definition(node.op_type, version)
    if body is None or not body.node:
        return None
    for entry in body.opset_import:
        if entry.domain in DOMAINS:
            entry.version = version
    made = {name for each in body.node for name in each.output}
    for name in body.output:
        if name not in made:  # an optional output, of which the body says nothing
            body.node.append(onnx.helper.make_node("Identity", [body.input[0]], [name]))
    del body.output[len(node.outputs) :]
    return body


def _standard_body(node: ir.Node, schema: Any, version: int) -> onnx.FunctionProto | None:
    """Return the body that the standard gives an operator, None also where types lack."""
    plain = [v for v in schema.function_opset_versions if v <= version]
    built = [v for v in schema.context_dependent_function_opset_versions if v <= version]
    types = [_type_of(value) for value in node.inputs]
    if plain:
        text = schema.get_function_with_opset_version(max(plain))
    elif built and all(kind is not None for kind in types):
        text = schema.get_context_dependent_function_with_opset_version(
            max(built), ir.to_proto(node).SerializeToString(), types
        )
    else:
        return None
    return onnx.FunctionProto.FromString(text)


def _type_of(value: ir.Value | None) -> bytes | None:
    """Return a value's type as protobuf, empty for one left out; None where unknown."""
    if value is None:
        return onnx.TypeProto().SerializeToString()
    proto = ir.to_proto(value)
    return proto.type.SerializeToString() if proto.HasField("type") else None

"""``If`` without graphs of its own: both branches in line, and a choice between their results.

Nothing runs for naught: ``suture.codegen.lazy`` moves the calls of each branch to where it is
taken.
"""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.base import DOMAIN
from suture.errors import BackendError, Location
from suture.passes.recognise.values import DEFAULT_DOMAINS

CHOOSE = "Choose"
"""Takes a truth value and the results of two branches; which If it is of is its attribute."""
MARK = "suture.if"


def flatten_ifs(model: ir.Model) -> bool:
    """Replace every If by the nodes of its branches, in place; say whether there was any.

    A choice is a ``Where`` until shapes are inferred: see ``choose_results``.
    """
    marks = (node.metadata_props.get(MARK) for node in model.graph)
    number = first = 1 + max((int(mark) for mark in marks if mark is not None), default=-1)
    while True:
        found = [node for node in model.graph if _is_if(node)]
        if not found:
            return number > first
        for node in found:
            _flatten(node, model.graph, number)
            number += 1


def choose_results(model: ir.Model) -> None:
    """Turn each choice into a node of its own kind, in place.

    Raises:
        BackendError: The results of an If's branches differ in shape or type, or are no
            tensors of known size.
    """
    for node in list(model.graph):
        if MARK not in node.metadata_props:
            continue
        condition, *results = node.inputs
        kinds = {(_sizes(value), value.dtype) for value in results if value is not None}
        if len(kinds) != 1 or (None, None) in {(sizes, None) for sizes, _ in kinds}:
            raise BackendError(
                "operator 'If' cannot be compiled by TVM: its branches differ in what they "
                "result in, or in its shape",
                at=Location(model.graph.name or "model", node.name),
                hint="use the backend ort",
            )
        old = node.outputs[0]
        new = ir.node(
            CHOOSE,
            [condition, *results],
            attributes={"of": int(node.metadata_props[MARK])},
            domain=DOMAIN,
            name=node.name,
        )
        new.outputs[0].name, new.outputs[0].type = old.name, old.type
        assert results[0] is not None
        new.outputs[0].shape = results[0].shape
        ir.convenience.replace_nodes_and_values(
            model.graph, node, [node], [new], [old], [new.outputs[0]]
        )


def _is_if(node: ir.Node) -> bool:
    return node.op_type == "If" and node.domain in DEFAULT_DOMAINS


def _flatten(node: ir.Node, graph: ir.Graph, number: int) -> None:
    stem = f"{node.name or 'if'}.{number}"
    results = [
        _move(node.attributes[name].as_graph(), graph, node, f"{stem}.{name}")
        for name in ("then_branch", "else_branch")
    ]
    scalar = ir.node("Reshape", [node.inputs[0], _no_axes(graph, f"{stem}.scalar")])
    scalar.outputs[0].name = scalar.name = f"{stem}.condition"
    made = [scalar]
    for place, (output, *pair) in enumerate(zip(node.outputs, *results, strict=True)):
        choice = ir.node("Where", [scalar.outputs[0], *pair], name=f"{stem}.{place}")
        choice.metadata_props[MARK] = str(number)
        choice.outputs[0].name, choice.outputs[0].type = output.name, output.type
        made.append(choice)
    ir.convenience.replace_nodes_and_values(
        graph, node, [node], made, node.outputs, [each.outputs[0] for each in made[1:]]
    )


def _move(branch: ir.Graph, graph: ir.Graph, before: ir.Node, stem: str) -> list[ir.Value]:
    """Move a branch's nodes and constants in front of a node; return its results."""
    results = list(branch.outputs)
    branch.outputs.clear()
    for name, value in list(branch.initializers.items()):
        del branch.initializers[name]
        value.name = f"{stem}.{name}"
        graph.register_initializer(value)
    nodes = list(branch)
    branch.remove(nodes)
    for node in nodes:
        node.name = f"{stem}.{node.name or node.op_type}"
        for output in node.outputs:
            if output.name:
                output.name = f"{stem}.{output.name}"
    graph.insert_before(before, nodes)
    return results


def _no_axes(graph: ir.Graph, name: str) -> ir.Value:
    """Return a constant that makes a Reshape give a scalar."""
    tensor = ir.tensor([], dtype=ir.DataType.INT64, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape([0]), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def _sizes(value: ir.Value) -> tuple[int, ...] | None:
    if value.shape is None or not value.shape.is_static():
        return None
    if not isinstance(value.type, ir.TensorType):
        return None
    return tuple(int(size) for size in value.shape if isinstance(size, int))

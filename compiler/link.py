"""Join the steps of a plan into one ONNX model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
from onnxscript.version_converter import convert_version

from suture.compiler.adapters import mismatch, parse_adapter
from suture.compiler.adapters.base import OPSET, element_type
from suture.compiler.component import Component, Dim, Port
from suture.compiler.model import infer_shapes, load_model, opset_of
from suture.compiler.plan.base import INPUT, Plan, Step
from suture.errors import LinkError, Location

OUTPUT = "output"
IR_VERSION = 10


def link(
    plan: Plan,
    components: Mapping[str, Component],
    entry: Port,
) -> ir.Model:
    """Return one model that computes what the steps compute one after the other.

    Values and nodes are called ``step/name``; operator sets are raised to the highest in use;
    equal initializers are stored once; outputs of components that nobody reads are left out,
    with what only they need; what the entry's shape fixes is fixed everywhere.

    Args:
        plan: The steps and who feeds whom.
        components: Every component of the plan by its ``name@version``.
        entry: The task's input, with the shape this program is for; symbols stay free.

    Raises:
        LinkError: Ports do not fit, or a component cannot be raised to the common operator
            set; names the step and port.
    """
    opset = max(OPSET, *(components[s.ref].opset for s in plan.steps if not s.adapter), 0)
    head = ir.Value(
        name=INPUT,
        shape=ir.Shape(list(entry.shape)),
        type=ir.TensorType(element_type(entry.dtype)),
    )
    graph = ir.Graph([head], [], nodes=[], opset_imports={"": opset}, name="linked")
    values: dict[tuple[str, str], ir.Value] = {(INPUT, INPUT): head}
    ports: dict[tuple[str, str], Port] = {(INPUT, INPUT): entry}
    feeds = {(edge.sink, edge.input): (edge.source, edge.output) for edge in plan.edges}
    for step in plan.order():
        incoming = {name: feeds[step.id, name] for sink, name in feeds if sink == step.id}
        model, outputs = open_step(
            step, components, {name: ports[source] for name, source in incoming.items()}
        )
        _raise_opset(model, opset, step)
        results = _splice(
            model, graph, step, {name: values[key] for name, key in incoming.items()}
        )
        for value, port in zip(results, outputs, strict=True):
            values[step.id, port.name] = value
            ports[step.id, port.name] = port
        for domain, version in model.opset_imports.items():
            if graph.opset_imports.setdefault(domain, version) != version:
                raise LinkError(
                    f"needs version {version} of the operators {domain!r}, another step "
                    f"{graph.opset_imports[domain]}",
                    at=Location(step.ref),
                    hint="export both components with the same version",
                )
    result = values[plan.output]
    if result.is_graph_input():
        graph.append(ir.node("Identity", [result], name="identity"))
        result = graph[-1].outputs[0]
    result.name = OUTPUT
    graph.outputs.append(result)
    linked = ir.Model(graph, ir_version=IR_VERSION, producer_name="suture")
    ir_passes.RemoveUnusedNodesPass()(linked)
    ir_passes.DeduplicateHashedInitializersPass()(linked)
    infer_shapes(linked)
    return linked


def open_step(
    step: Step, components: Mapping[str, Component], incoming: Mapping[str, Port]
) -> tuple[ir.Model, tuple[Port, ...]]:
    """Return a step's model with the symbols that its inputs fix, and its output ports.

    Args:
        step: A component or adapter instance.
        components: By ``name@version``.
        incoming: The port that feeds each input, by the input's name.

    Raises:
        LinkError: An input is not fed, or what feeds it does not fit.
    """
    if step.adapter:
        adapter, port = parse_adapter(step.ref), next(iter(incoming.values()))
        leaves = replace(adapter.output(port), name="output")
        return adapter.build(port), (leaves,)
    component = components[step.ref]
    symbols: dict[str, Dim] = {}
    for want in component.inputs:
        at = Location(step.ref, None, want.name)
        if want.name not in incoming:
            raise LinkError("nothing feeds this input", at=at)
        have = incoming[want.name]
        gap = mismatch(have, want)
        if gap is not None:
            raise LinkError(f"{have} cannot feed it: {gap}", at=at)
        for dim, size in zip(want.shape, have.shape, strict=True):
            if isinstance(dim, str) and symbols.setdefault(dim, size) != size:
                raise LinkError(
                    f"symbol {dim!r} is {symbols[dim]} at one input and {size} here", at=at
                )
    model = load_model(component.path)
    ir_passes.InlinePass()(model)
    for value, port in zip(model.graph.inputs, component.inputs, strict=True):
        value.shape = ir.Shape([_bind(dim, symbols) for dim in port.shape])
    outputs = tuple(
        replace(port, shape=tuple(_bind(dim, symbols) for dim in port.shape))
        for port in component.outputs
    )
    return model, outputs


def _bind(dim: Dim, sizes: Mapping[str, Dim]) -> Dim:
    return sizes.get(dim, dim) if isinstance(dim, str) else dim


def _raise_opset(model: ir.Model, opset: int, step: Step) -> None:
    """Convert a model to the common operator set, in place."""
    if opset_of(model) == opset:
        return
    try:
        convert_version(model, opset, fallback=True)
    except Exception as error:
        raise LinkError(
            f"cannot be raised from operator set {opset_of(model)} to {opset}: {error}",
            at=Location(step.ref),
            hint=f"export the component with operator set {opset}",
        ) from error
    if opset_of(model) != opset:
        raise LinkError(
            f"operator set {opset_of(model)} cannot be raised to {opset}",
            at=Location(step.ref),
            hint=f"export the component with operator set {opset}",
        )


def _splice(
    model: ir.Model, graph: ir.Graph, step: Step, incoming: Mapping[str, ir.Value]
) -> list[ir.Value]:
    """Move a model's nodes and initializers into a graph under the step's name.

    Returns:
        The values that were the model's outputs.
    """
    source = model.graph
    initializers = list(source.initializers.values())
    source.initializers.clear()
    outputs = list(source.outputs)
    source.outputs.clear()
    for position, value in enumerate(outputs):
        if value.is_graph_input():  # an output that is an input: keep it a value of its own
            node = ir.node("Identity", [value], name="identity")
            source.append(node)
            outputs[position] = node.outputs[0]
    for node in source.all_nodes():
        named = next((v.name for v in node.outputs if v.name), node.op_type)
        node.name = f"{step.id}/{node.name or named}"
        for value in node.outputs:
            if value.name:
                value.name = f"{step.id}/{value.name}"
    for inner in source.subgraphs():
        for value in (*inner.inputs, *inner.initializers.values()):
            value.name = f"{step.id}/{value.name}"
    for value in initializers:
        value.name = f"{step.id}/{value.name}"
        graph.register_initializer(value)
    for value in source.inputs:
        value.replace_all_uses_with(incoming[str(value.name)])
    nodes = list(source)
    source.remove(nodes)
    graph.extend(nodes)
    return outputs

"""A model in the form that TVM's importer handles best."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxscript.optimizer

from suture.codegen.emit.rule import Rules
from suture.codegen.expand import expand
from suture.codegen.faults import DOMAINS, tvm_fault
from suture.codegen.flatten import choose_results, flatten_ifs
from suture.codegen.groups.base import DOMAIN
from suture.codegen.one_axis import see_as_images
from suture.compiler.model import infer_shapes
from suture.errors import BackendError, Location
from suture.passes.fuse.constants import unfoldable

MOST_OF_SHAPE = 16
"""Elements of a constant that is small enough to be part of a shape."""
LOOPS = ("Loop", "Scan", "SequenceMap")


def prepare(
    model: ir.Model, refused: Collection[str] = (), *, rules: Rules | None = None
) -> ir.Model:
    """Return a copy in the form TVM's importer handles best.

    Functions and branches are inlined, operators that it lacks or gets wrong are written out,
    constants are folded and become initializers in memory, inputs are called ``in0``, ``in1``
    … and every node has a name.

    Args:
        model: The model.
        refused: Operators to write out as well.
        rules: What emits operators; by default all that is installed.
    """
    known = rules or Rules.installed()
    model = ir.external_data.load_to_model(model.clone())
    ir_passes.InlinePass()(model)
    ir_passes.RemoveInitializersFromInputsPass()(model)
    fold(model)
    infer_shapes(model)
    while flatten_ifs(model) or expand(
        model, lambda node: node.op_type in refused or tvm_fault(node, known) is not None
    ):
        fold(model)
    for node in model.graph:
        node.name = node.name or node.outputs[0].name
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    split_sums(model)
    infer_shapes(model)
    if see_as_images(model):
        ir_passes.RemoveUnusedNodesPass()(model)
    choose_results(model)
    for position, value in enumerate(model.graph.inputs):
        value.name = f"in{position}"
    return model


def fold(model: ir.Model) -> None:
    """Compute what no input can change, in place, where onnxscript can.

    An output that turns out constant is read from an initializer.
    """
    if unfoldable(model) is not None:
        return
    onnxscript.optimizer.fold_constants(model, should_fold=_is_small)
    for node in list(model.graph):
        if node.op_type == "Constant" and node.outputs[0].is_graph_output():
            result = node.outputs[0]
            copy = ir.node("Identity", [result], name=f"{result.name}.copy")
            copy.outputs[0].shape, copy.outputs[0].type = result.shape, result.type
            copy.outputs[0].name, result.name = result.name, f"{result.name}.constant"
            model.graph.insert_after(node, copy)
            for place, output in enumerate(model.graph.outputs):
                if output is result:
                    model.graph.outputs[place] = copy.outputs[0]


def _is_small(node: ir.Node) -> bool | None:
    """Whether a node makes part of a shape, which onnxscript does not fold unasked."""
    if node.op_type != "ConstantOfShape":
        return None
    sizes = ir.convenience.get_const_tensor(node.inputs[0]) if node.inputs[0] else None
    return True if sizes is not None and sizes.numpy().prod() <= MOST_OF_SHAPE else None


def split_sums(model: ir.Model) -> None:
    """Write each Sum as additions, in place: TVM's importer stacks what it sums."""
    for node in list(model.graph):
        if node.op_type != "Sum" or node.domain not in DOMAINS:
            continue
        first, *others = node.inputs
        made = [] if others else [ir.node("Identity", [first], name=node.name)]
        for number, term in enumerate(others):
            total = made[-1].outputs[0] if made else first
            made.append(ir.node("Add", [total, term], name=f"{node.name}.{number}"))
        old, new = node.outputs[0], made[-1].outputs[0]
        new.name, new.shape, new.type = old.name, old.shape, old.type
        ir.convenience.replace_nodes_and_values(model.graph, node, [node], made, [old], [new])


def check_operators(model: ir.Model, rules: Rules) -> None:
    """Raise ``BackendError`` for the first node that TVM's importer lacks or gets wrong."""
    for node in model.graph:
        if node.op_type in LOOPS:
            raise _unsupported(model, node, "loops cannot be planned ahead of time")
        if node.domain == DOMAIN:
            continue
        fault = tvm_fault(node, rules)
        if fault is not None:
            raise _unsupported(model, node, fault)


def _unsupported(model: ir.Model, node: ir.Node, reason: str) -> BackendError:
    return BackendError(
        f"operator {node.op_type!r} cannot be compiled by TVM: {reason}",
        at=Location(model.graph.name or "model", node.name or node.outputs[0].name),
        hint="use the backend ort",
    )

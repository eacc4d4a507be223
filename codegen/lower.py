"""From ONNX to TVM: one Relax function that writes buffers, and its kernels."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxscript.optimizer
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from suture.codegen.budget import SizeSpeed, WeightBudget, plan_weights, tell
from suture.codegen.choose.base import BY_FORMULA, Choice, Chooser
from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.inline import inline
from suture.codegen.parallel import parallelize
from suture.codegen.phases import Phases
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import processor_of
from suture.codegen.vectorize import vectorize
from suture.compiler.model import infer_shapes, opset_of
from suture.compiler.target import Target
from suture.errors import BackendError, Location

logger = logging.getLogger(__name__)

DOMAINS = ("", "ai.onnx", "com.microsoft")
CONTROL_FLOW = ("If", "Loop", "Scan")


class LoweringError(BackendError):
    """TVM fails on a program in which ONNX's nodes are no longer to be seen."""


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A model as TVM sees it when every tensor has a buffer.

    Attributes:
        module: ``main`` in Relax, one statement a kernel call, and the kernels in TensorIR.
        target: What the kernels are for.
        inputs: The names of ``main``'s parameters in the order of the model's inputs.
        groups: The fusion groups, each as its ONNX operators.
        schedules: Kernels that a rule has scheduled, by name, each with its schedule.
        budget: How many bytes of packed weights each convolution may take.
        threads: The most that kernels make use of.
        choices: Why they have it, where there was a choice.
    """

    module: tvm.IRModule
    target: tvm.target.Target
    inputs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    schedules: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    threads: int = 1
    budget: WeightBudget = field(default_factory=WeightBudget)


def lower(
    model: ir.Model,
    target: Target,
    *,
    size_speed: SizeSpeed = "balanced",
    chooser: Chooser = BY_FORMULA,
    phases: Phases | None = None,
) -> Lowered:
    """Import a model into TVM, fuse its operators and give every tensor a buffer.

    Args:
        model: Every shape in it is fixed.
        target: What the kernels are for.
        size_speed: How far packed weights may grow for faster kernels.
        chooser: Which of its schedules a kernel gets.
        phases: Where time is counted.

    Raises:
        BackendError: A shape is not fixed, or TVM's importer lacks an operator; names the
            input or the node.
        LoweringError: TVM fails after import.
    """
    phases = phases or Phases()
    processor = tvm_target(target)
    with phases.phase("import"):
        check_static(model)
        prepared = prepare(model)
        rules = Rules.installed()
        check_operators(prepared, rules)
        groups = group(prepared, rules.matchers)
        budget = plan_weights(prepared, processor_of(target), size_speed)
        logger.info("%s", budget)
        tell(prepared, budget)
        emitter = Emitter(
            relax.BlockBuilder(), processor_of(target), chooser, phases, rules.further
        )
        imported = import_model(prepared, emitter, rules)
    with phases.phase("lower"):
        module = write_buffers(fuse(imported, processor), processor)
        module = parallelize(vectorize(inline(module)), target.threads)
    return Lowered(
        module=module,
        target=processor,
        inputs=tuple(str(value.name) for value in prepared.graph.inputs),
        budget=budget,
        groups=groups,
        schedules=emitter.schedules,
        choices=emitter.choices,
        threads=target.threads,
    )


def check_static(model: ir.Model) -> None:
    """Raise ``BackendError`` for the first input whose shape is not fixed."""
    for value in model.graph.inputs:
        at = Location(model.graph.name or "model", None, value.name)
        if value.name in model.graph.initializers:
            continue
        if value.shape is None:
            raise BackendError(f"input {value.name} has no rank", at=at)
        free = [str(dim) for dim in value.shape if not isinstance(dim, int)]
        if free:
            raise BackendError(
                f"dynamic shape {list(map(str, value.shape))} of input {value.name}: "
                "TVM's plan is made ahead of time",
                at=at,
                hint=f"fix {', '.join(free)} to a size, or use the backend ort",
            )


def prepare(model: ir.Model) -> ir.Model:
    """Return a copy in the form TVM's importer handles best.

    Functions are inlined, constants are folded and become initializers in memory, inputs are
    called ``in0``, ``in1`` … and every node has a name.
    """
    model = ir.external_data.load_to_model(model.clone())
    ir_passes.InlinePass()(model)
    ir_passes.RemoveInitializersFromInputsPass()(model)
    for node in model.graph:
        node.name = node.name or node.outputs[0].name
    onnxscript.optimizer.fold_constants(model)
    ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    ir_passes.RemoveUnusedNodesPass()(model)
    split_sums(model)
    infer_shapes(model)
    for position, value in enumerate(model.graph.inputs):
        value.name = f"in{position}"
    return model


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
    """Raise ``BackendError`` for the first node that no rule and not TVM's importer knows."""
    known = onnx_frontend._get_convert_map()
    for node in model.graph:
        if node.op_type in CONTROL_FLOW:
            raise _unsupported(model, node, "control flow cannot be planned ahead of time")
        if node.domain not in DOMAINS:
            raise _unsupported(model, node, f"TVM does not know the domain {node.domain!r}")
        if node.op_type not in known and not rules.emits(node.op_type):
            raise _unsupported(model, node, "TVM's importer lacks it")


def _unsupported(model: ir.Model, node: ir.Node, reason: str) -> BackendError:
    return BackendError(
        f"operator {node.op_type!r} cannot be compiled by TVM: {reason}",
        at=Location(model.graph.name or "model", node.name or node.outputs[0].name),
        hint="use the backend ort",
    )


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer, remembering the node it works on."""

    node: tuple[str, str] | None = None
    emitter: Emitter
    rules: Rules

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        """Leave that to ``check_operators``, which names the node."""

    def _convert_operator(
        self, op_name: str, inputs: Any, attrs: dict[str, Any], opset: int
    ) -> Any:
        self.node = (attrs["tvm_custom"]["name"], op_name)

        def stock(given: Sequence[Any]) -> Any:
            made = onnx_frontend.onnx_input()
            made.extend(given)
            return super(_Importer, self)._convert_operator(op_name, made, dict(attrs), opset)

        if inputs:
            operator = Operator(
                name=op_name, inputs=list(inputs), attributes=attrs, stock=stock
            )
            made = self.rules.emit(self.emitter, operator)
            if made is not None:
                return made
        made = stock(inputs)
        return self.bb.emit(made) if isinstance(made, relax.Call) else made


def import_model(model: ir.Model, emitter: Emitter, rules: Rules) -> tvm.IRModule:
    """Return a prepared and grouped model in Relax, its kernels emitted by rules.

    Raises:
        BackendError: The importer fails; names node and operator.
    """
    proto = ir.to_proto(model)
    assert isinstance(proto, onnx.ModelProto)
    importer = _Importer({}, "float32")
    importer.bb, importer.emitter, importer.rules = emitter.builder, emitter, rules
    # The importer prints what it fails on, and warns of every name it changes.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importer.from_onnx(proto.graph, opset_of(model))
        except Exception as error:
            name, op = importer.node or ("", "")
            raise BackendError(
                f"operator {op!r} cannot be compiled by TVM: "
                f"its importer fails with {type(error).__name__}: {_first_line(error)}",
                at=Location(model.graph.name or "model", name),
                hint="use the backend ort",
            ) from error


def fuse(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """Legalise operators to TensorIR, fold constants and fuse: Relax's ``zero`` pipeline.

    Raises:
        LoweringError: An operator has no legal form on a CPU.
    """
    passes = (
        relax.transform.DeadCodeElimination(),
        relax.transform.DecomposeOpsForInference(),
        relax.get_pipeline("zero"),
    )
    return _run(passes, module, target)


def write_buffers(module: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """Turn calls into statements that write buffers.

    The steps are those of ``relax.pipeline.default_build_pipeline`` before memory planning,
    which ``suture.codegen.walk`` does.

    Raises:
        LoweringError: TVM fails.
    """
    transform = relax.transform
    passes = (
        relax.backend.DispatchSampling(),
        relax.backend.DispatchSortScan(),
        transform.LegalizeOps(),
        transform.RewriteDataflowReshape(),
        transform.ToNonDataflow(),
        transform.RemovePurityChecking(),
        transform.CallTIRRewrite(),
        transform.AttachGlobalSymbol(),
    )
    return _run(passes, module, target)


def _run(
    passes: tuple[Any, ...], module: tvm.IRModule, target: tvm.target.Target
) -> tvm.IRModule:
    with target:
        for step in passes:
            try:
                module = step(module)
            except Exception as error:
                raise LoweringError(
                    f"TVM fails in {step.info.name}: {_first_line(error)}"
                ) from error
    return module


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__

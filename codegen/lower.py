"""From ONNX to TVM: one Relax function that writes buffers, and its kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
import tvm
from tvm import relax

from suture.codegen.budget import SizeSpeed, WeightBudget
from suture.codegen.choose.base import BY_FORMULA, Choice, Chooser
from suture.codegen.extremes import mend_extremes
from suture.codegen.importer import first_line, prepare_and_import
from suture.codegen.inline import inline
from suture.codegen.parallel import parallelize
from suture.codegen.phases import Phases
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import processor_of
from suture.codegen.vectorize import vectorize
from suture.compiler.target import Target
from suture.errors import BackendError, Location


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
        made = prepare_and_import(
            model, processor_of(target), size_speed=size_speed, chooser=chooser, phases=phases
        )
    with phases.phase("lower"):
        module = write_buffers(fuse(made.module, processor), processor)
        check_sizes(module)
        module = parallelize(vectorize(inline(mend_extremes(module))), target.threads)
    return Lowered(
        module=module,
        target=processor,
        inputs=tuple(str(value.name) for value in made.model.graph.inputs),
        budget=made.budget,
        groups=made.groups,
        schedules=made.emitter.schedules,
        choices=made.emitter.choices,
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


def check_sizes(module: tvm.IRModule) -> None:
    """Raise ``LoweringError`` for the first kernel over sizes that depend on data."""
    for name, function in module.functions.items():
        if not isinstance(function, tvm.tirx.PrimFunc):
            continue
        for value in function.params:
            sizes = list(getattr(value.ty, "shape", [value]))  # a bare size has no shape
            if not all(isinstance(size, tvm.tirx.IntImm) for size in sizes):
                raise LoweringError(
                    f"sizes that depend on data, {sizes}, cannot be planned ahead of time",
                    at=Location("main", name.name_hint),
                    hint="use the backend ort",
                )


def _run(
    passes: tuple[Any, ...], module: tvm.IRModule, target: tvm.target.Target
) -> tvm.IRModule:
    with target:
        for step in passes:
            try:
                module = step(module)
            except Exception as error:
                raise LoweringError(
                    f"TVM fails in {step.info.name}: {first_line(error)}"
                ) from error
    return module

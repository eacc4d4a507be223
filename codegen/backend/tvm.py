"""TVM: kernels compiled ahead of time, no library of TVM's in the package."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import onnx_ir as ir

from suture.codegen.aot import AotPlan, Tensor
from suture.codegen.backend.base import Compiled, Kernel, Program, Slot
from suture.codegen.budget import SizeSpeed
from suture.codegen.build import build_parts, write_kernels
from suture.codegen.choose.effort import Effort, chooser_of
from suture.codegen.choose.model import BOOSTED_TREES
from suture.codegen.isolate import find_node
from suture.codegen.link import LIBRARY, link_library
from suture.codegen.lower import Lowered, LoweringError, lower
from suture.codegen.native import NativeProgram
from suture.codegen.phases import Phases
from suture.codegen.prepare import prepare
from suture.codegen.processor import kernel_sets, known, tvm_target
from suture.codegen.sizes import BySizes
from suture.codegen.specialise import Library, share
from suture.codegen.walk import plan_program
from suture.compiler.cost.plugin import CostModelPlugin
from suture.compiler.model import bind_symbols
from suture.compiler.target import Target
from suture.errors import BackendError, Location


@dataclass(frozen=True)
class TvmBackend:
    """Compiles a model to one shared library, with a program for each set of sizes.

    Attributes:
        cache: Folder for Zig's cache.
        size_speed: How far packed weights may grow for faster kernels.
        effort: How much time goes into choosing schedules.
        learned: Where a cost model may have been learned, in place of the one that ships.
        cost: The cost model that is asked, from effort 1 on.
    """

    cache: Path
    size_speed: SizeSpeed = "balanced"
    effort: Effort = 0
    learned: Path | None = None
    cost: CostModelPlugin = BOOSTED_TREES
    name: ClassVar[str] = "tvm"

    def compile(
        self,
        model: ir.Model,
        target: Target,
        workdir: Path,
        *,
        sizes: Sequence[Mapping[str, int]] = (),
    ) -> Compiled:
        """Build ``libmodel.so`` under ``workdir``; the same model gives the same bytes.

        Args:
            model: The model.
            target: What for.
            workdir: Where files go.
            sizes: Sizes of free dimensions, one program for each; empty where none is free.

        Raises:
            BackendError: TVM cannot hold the model; names node and operator.
        """
        target, notes = known(target)
        models = [bound(model, each) for each in sizes] or [model]
        try:
            return self._compile(models, target, workdir, notes)
        except LoweringError as error:
            node = find_node(prepare(models[0]), lambda alone: try_alone(alone, target))
            if node is None:
                raise
            raise BackendError(
                f"operator {node.op_type!r} cannot be compiled by TVM: {error.message}",
                at=Location(model.graph.name or "model", node.name),
                hint="use the backend ort",
            ) from error

    def load(
        self, compiled: Compiled, model: ir.Model, *, threads: int
    ) -> NativeProgram | BySizes:
        """Return the library as a function, on no more threads than it was compiled for.

        Raises:
            BackendError: The library is for another machine.
        """
        programs = [
            NativeProgram(
                compiled.files[LIBRARY],
                program.inputs,
                program.outputs,
                threads=threads,
                number=number,
            )
            for number, program in enumerate(compiled.programs)
        ]
        return programs[0] if len(programs) == 1 else BySizes(programs)

    def _compile(
        self,
        models: Sequence[ir.Model],
        target: Target,
        workdir: Path,
        notes: tuple[str, ...],
    ) -> Compiled:
        phases = Phases()
        chooser = chooser_of(self.effort, tvm_target(target), self.learned, self.cost)
        lowered = [
            lower(model, target, size_speed=self.size_speed, chooser=chooser, phases=phases)
            for model in models
        ]
        with phases.phase("lower"):
            plans = [plan_program(each) for each in lowered]
            programs = tuple(map(ports, models, plans))
            shared = share(lowered, plans)
        parts = build_parts(shared, target, workdir=workdir, phases=phases)
        with phases.phase("link"):
            library = link_library(parts, target, cache=self.cache)
        first, plan = lowered[0], plans[0]
        return Compiled(
            backend=self.name,
            files={LIBRARY: library},
            parts=parts,
            arena_bytes=max(plan.arena_bytes for plan in plans),
            weight_bytes=len(shared.weights),
            programs=programs,
            kernels=tuple(
                Kernel(name=name, op=first.schedules.get(name) or operators(name))
                for name in (call.kernel for call in plan.calls)
            ),
            choices=first.choices,
            seconds=phases.seconds,
            notes=(
                *notes,
                f"kernels for {', '.join(each.mcpu for each in kernel_sets(target))}",
                f"{len(plan.calls)} calls of {len(plan.kernels)} kernels, "
                f"{len(first.schedules)} of them by a schedule of their own",
                *grouping(first.groups),
                str(first.budget),
                f"arena of {plan.arena_bytes} bytes in place of "
                f"{sum(t.nbytes for t in activations(plan))} for all activations",
                f"up to {plan.threads} threads" if plan.threads > 1 else "one thread",
                *sharing(plans, shared),
                *stock(lowered, programs),
            ),
        )


def bound(model: ir.Model, sizes: Mapping[str, int]) -> ir.Model:
    """Return a copy of a model with free dimensions fixed."""
    made = model.clone()
    bind_symbols(made, sizes)
    return made


def ports(model: ir.Model, plan: AotPlan) -> Program:
    """Return what a plan reads and writes, under the model's names."""
    given = [v for v in model.graph.inputs if v.name not in model.graph.initializers]
    return Program(
        match_slots(given, plan.inputs), match_slots(model.graph.outputs, plan.outputs)
    )


def stock(lowered: Sequence[Lowered], programs: Sequence[Program]) -> tuple[str, ...]:
    """Return warnings of programs for which fewer rules have a schedule than for the first."""
    most = len(lowered[0].schedules)
    return tuple(
        f"warning: for {', '.join(map(str, program.inputs))} {len(each.schedules)} kernels "
        f"have a schedule of their own, for the first sizes {most}; the others are TVM's "
        "stock lowering, right and slow"
        for each, program in zip(lowered, programs, strict=True)
        if len(each.schedules) < most
    )


def grouping(groups: Sequence[str]) -> tuple[str, ...]:
    """Return a note on which operators became one kernel, the most frequent first."""
    if not groups:
        return ()
    told = ", ".join(f"{count} × {each}" for each, count in Counter(groups).most_common())
    return (f"fusion groups: {told}",)


def sharing(plans: Sequence[AotPlan], shared: Library) -> tuple[str, ...]:
    """Return a note on what several programs have in common."""
    if len(plans) == 1:
        return ()
    apart = sum(len(plan.weights) for plan in plans)
    kernels = sum(len(plan.kernels) for plan in plans)
    return (
        f"{len(plans)} programs, one for each set of sizes: {len(shared.weights)} bytes of "
        f"weights in place of {apart}, {len(shared.names)} kernels in place of {kernels}",
    )


def operators(kernel: str) -> str:
    """Return the operators that TVM names a kernel after.

    ``fused_conv2d1_relu`` becomes ``conv2d relu``: TVM numbers kernels of one name; ``2d`` and
    the like end in a letter and stay.
    """
    words = kernel.removeprefix("fused_").split("_")
    return " ".join(re.sub(r"\d+$", "", word) for word in words)


def activations(plan: AotPlan) -> set[Tensor]:
    """Return the tensors that kernels keep in the arena, each as it is seen."""
    return {tensor for tensor in plan.tensors if tensor.space == "arena"}


def match_slots(values: Sequence[ir.Value], tensors: Sequence[Tensor]) -> tuple[Slot, ...]:
    """Return a program's inputs or outputs under the names they have in the model.

    Raises:
        BackendError: TVM computes another shape or element type than the model declares.
    """
    slots = []
    if len(values) != len(tensors):
        raise BackendError(
            f"TVM makes {len(tensors)} tensors of {len(values)} values",
            at=Location("model"),
            hint="use the backend ort",
        )
    for value, tensor in zip(values, tensors, strict=True):
        slot = Slot(str(value.name), tensor.shape, tensor.dtype)
        dtype = value.dtype.numpy().name if value.dtype is not None else slot.dtype
        declared = tuple(value.shape) if value.shape is not None else slot.shape
        fits = len(declared) == len(slot.shape) and all(
            not isinstance(dim, int) or dim == size
            for dim, size in zip(declared, slot.shape, strict=True)
        )
        if dtype != slot.dtype or not fits:
            raise BackendError(
                f"TVM makes it {slot.dtype}{list(slot.shape)}, "
                f"the model declares {dtype}{[str(dim) for dim in declared]}",
                at=Location("model", None, slot.name),
                hint="use the backend ort",
            )
        slots.append(slot)
    return tuple(slots)


def try_alone(model: ir.Model, target: Target) -> None:
    """Compile a model of one node, unless the shapes it reads are not known.

    Raises:
        BackendError: TVM cannot.
    """
    inputs = model.graph.inputs
    if any(value.shape is None or not value.shape.is_static() for value in inputs):
        return
    lowered = lower(model, target)
    with tempfile.TemporaryDirectory() as folder:
        kernels = plan_program(lowered).kernels
        write_kernels(lowered.module, kernels, Path(folder), kernel_sets(target)[-1])

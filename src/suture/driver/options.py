"""What a build is asked for, what it must answer, and what came of a backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from suture.codegen.archive import Form
from suture.codegen.backend.base import Kernel
from suture.codegen.budget import SizeSpeed
from suture.codegen.choose.base import Choice
from suture.codegen.choose.effort import Effort
from suture.codegen.choose.model import BOOSTED_TREES, MODEL
from suture.codegen.choose.nodes import KernelTimes
from suture.codegen.flavour import Wanted
from suture.codegen.processor import known
from suture.codegen.recipe import Option
from suture.codegen.schedule.base import processor_of
from suture.compiler.cost.nodes import CostOf, NodeCost, by_roofline
from suture.compiler.cost.plugin import CostModelPlugin, KernelCost
from suture.compiler.spec import format_spec
from suture.compiler.target import Target
from suture.compiler.verify import Arrays
from suture.driver.rewriting import Rewriting
from suture.passes.pipeline import format_pipeline

Say = Callable[[str], None]
Which = Literal["auto", "tvm", "ort"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user may ask of a build.

    Attributes:
        rewriting: Which passes, and how they are looked over.
        backend: Which backend must ship; ``auto`` measures both.
        runtime: Which runtime must ship; ``auto`` takes the native one where it can.
        cache: Folder for what compilers keep between runs.
        size_speed: How far packed weights may grow for faster kernels.
        rounds: Timed rounds of the backends.
        effort: How much time goes into choosing schedules.
        cost: The cost model that passes ask, and from effort 1 on who chooses schedules.
        forms: What is made for each target. An image holds what TVM compiles.
    """

    cache: Path
    rewriting: Rewriting = field(default_factory=Rewriting)
    backend: Which = "auto"
    runtime: Wanted = "auto"
    size_speed: SizeSpeed = "balanced"
    rounds: int = 31
    effort: Effort = 0
    cost: CostModelPlugin = BOOSTED_TREES
    forms: tuple[Form, ...] = ("zip",)

    @property
    def wanted(self) -> Which:
        """The backend that must ship."""
        return "tvm" if set(self.forms) == {"oci"} else self.backend

    def cost_of(self, target: Target) -> CostOf:
        """Return what tells passes the time of nodes: kernels as TVM will have them.

        At effort 0 that is the same on any machine. Where ONNX Runtime must ship, nothing
        better than the roofline is known.
        """
        if self.wanted == "ort":
            return by_roofline

        @cache
        def opened() -> KernelCost:
            return self.cost.open(self.cache / MODEL if self.effort else None)

        def cost_of(model: ir.Model) -> NodeCost:
            return KernelTimes(
                model,
                processor_of(known(target)[0]),
                opened(),
                size_speed=self.size_speed,
                chooses=self.effort > 0,
            )

        return cost_of

    def asked(self, cases: Sequence[Case]) -> dict[str, Option]:
        """Return what decides a package's bytes, by the command line's names."""
        return {
            "backend": self.backend,
            "runtime": self.runtime,
            "passes": format_pipeline(self.rewriting.passes),
            "size_speed": self.size_speed,
            "effort": self.effort,
            "cost_model": format_spec(self.cost.name, self.cost),
            "sizes": [dict(case.sizes) for case in cases if case.sizes],
        }


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request that a program must answer right, and is timed with.

    Attributes:
        inputs: Arrays by input name.
        expected: What the model must answer.
        sizes: Sizes of the model's free dimensions in it; empty where they stay free.
    """

    inputs: Arrays
    expected: Arrays
    sizes: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join(f"{name}={size}" for name, size in self.sizes.items())


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What one backend made of the model.

    Attributes:
        backend: Its name.
        median_ms: Median time of one run, or None where it does not hold the model or this
            machine cannot run it.
        p95_ms: 95th percentile of the same.
        max_abs_err: Greatest difference from the reference, or None where it was not run.
        seconds: Time to compile.
        notes: What it decided, or why it does not hold the model.
        kernels: What runs, with times where they were measured.
        choices: Why kernels have their schedules, by the kernels' names.
        arena_bytes: Memory for activations, or None where the runtime decides.
        weight_bytes: Bytes of the constants.
        peak_rss_bytes: Greatest resident memory of a process that runs the package, or None
            where it was not run.
    """

    backend: str
    median_ms: float | None
    p95_ms: float | None
    max_abs_err: float | None
    seconds: float
    notes: tuple[str, ...]
    kernels: tuple[Kernel, ...] = ()
    choices: Mapping[str, Choice] = field(default_factory=dict)
    arena_bytes: int | None = None
    weight_bytes: int | None = None
    peak_rss_bytes: int | None = None

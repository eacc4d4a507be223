"""From one model to one package: passes, both backends, the better of them, the archive."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx_ir as ir

from suture.codegen.archive import Form
from suture.codegen.backend.base import Backend, Compiled, Kernel, Run
from suture.codegen.backend.registry import backends, zig_cache
from suture.codegen.budget import SizeSpeed
from suture.codegen.choose.base import Choice
from suture.codegen.choose.effort import Effort
from suture.codegen.choose.model import BOOSTED_TREES
from suture.codegen.document import Identity, model_document
from suture.codegen.emulate import emulated, find_emulator
from suture.codegen.flavour import Runtime, Wanted, choose_runtime
from suture.codegen.measure import Timings, measure, profile_kernels
from suture.codegen.oci import write_image
from suture.codegen.package import Package, Written, assemble, write_package
from suture.codegen.provenance import attested
from suture.codegen.recipe import Option
from suture.codegen.weigh import peak_rss_bytes
from suture.compiler.cost.plugin import CostModelPlugin
from suture.compiler.cost.records import LatencyRecord, Records
from suture.compiler.plan.estimate import work
from suture.compiler.spec import format_spec
from suture.compiler.target import Target
from suture.compiler.verify import (
    Arrays,
    assert_equal,
    max_abs_error,
    run_reference,
    tolerance,
)
from suture.driver.measurements import kernel_records
from suture.driver.recipes import recipe_of
from suture.driver.rewriting import Rewriting, Rewritten, rewrite
from suture.errors import BackendError, Location, SutureError, VerifyError
from suture.passes.base import PassContext
from suture.passes.pipeline import format_pipeline

Say = Callable[[str], None]
Which = Literal["auto", "tvm", "ort"]

TIE = 1.1
"""A backend must be faster by more than this ratio to ship in place of the preferred one."""


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
        cost: The cost model that is asked, from effort 1 on.
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


@dataclass(frozen=True, kw_only=True)
class Built:
    """The packages of one target, and how they came about.

    Attributes:
        packages: Those that were asked for.
        attempts: What each backend made of the model.
        reason: Why this backend ships.
        runtime_reason: Why this runtime ships.
        rewritten: What the passes made of the model.
        seconds: Time by phase.
    """

    packages: tuple[Written, ...]
    attempts: tuple[Attempt, ...]
    reason: str
    runtime_reason: str
    rewritten: Rewritten
    seconds: Mapping[str, float]

    @property
    def written(self) -> Written:
        """The package that was asked for first."""
        return self.packages[0]

    @property
    def shipped(self) -> Attempt:
        """The attempt that is in the package."""
        name = self.written.backend
        return next(a for a in self.attempts if a.backend == name)


def build(
    model: ir.Model,
    cases: Sequence[Case],
    identity: Identity,
    target: Target,
    out: Path,
    *,
    options: Options,
    context: PassContext,
    records: Records,
    say: Say,
) -> Built:
    """Rewrite a model, compile it with the backends, and package the better one.

    Args:
        model: The linked model; rewritten in place.
        cases: Requests; more than one where there is to be a program for each one's sizes. The
            first is that of passes and of the report.
        identity: What the package says of itself.
        target: Where it will run.
        out: Folder of the archive.
        options: What the user asked for.
        context: What passes may know.
        records: Where latencies are kept.
        say: Told of each stage.

    Raises:
        PassError: A pass breaks the model.
        VerifyError: A pass or a backend changes the answer.
        BackendError: No backend holds the model.
        PackageError: The package is over the platform's limits.
    """
    began = time.perf_counter()
    request = cases[0].inputs
    rewritten = rewrite(model, request, options.rewriting, context=context, out=out)
    if not rewritten.exact:
        cases = answered_anew(model, cases)
    rewritten_at = time.perf_counter()
    say(str(rewritten))
    with tempfile.TemporaryDirectory(prefix="suture-build-") as folder:
        trial = Trial(model, cases, target, Path(folder), options)
        trial.compile(say)
        compiled_at = time.perf_counter()
        timings = [measure(trial.runs, case.inputs, rounds=options.rounds) for case in cases]
        chosen, reason = decide(timings, trial.failures, options.wanted, target)
        say(f"backend: {chosen}, {reason}")
        attempts = tuple(
            replace(trial.attempt(name, timings), peak_rss_bytes=trial.weigh(name, identity))
            for name in trial.tried
        )
        records.add_latencies(
            LatencyRecord(
                subject=identity.version,
                backend=attempt.backend,
                target=target.name,
                threads=target.threads,
                work=work(model),
                median_ms=attempt.median_ms,
                p95_ms=attempt.p95_ms,
            )
            for attempt in attempts
            if attempt.median_ms is not None and attempt.p95_ms is not None
        )
        for attempt in attempts:
            records.add_kernels(kernel_records(attempt.choices.values(), target))
        measured_at = time.perf_counter()
        assembled, runtime_reason = [], ""
        for form in options.forms:
            backend = "tvm" if form == "oci" else chosen
            package, why = trial.package(backend, identity, form)
            recipe = recipe_of(
                identity, options.asked(cases), rewritten.records, trial.compiled[backend]
            )
            assembled.append(attested(package, recipe))
            runtime_reason = runtime_reason or why
        packages = [write(package, identity, out) for package in assembled]
    for written in packages:
        say(f"package: {written.path.name}, {written.nbytes / 1e6:.2f} MB")
    done = time.perf_counter()
    return Built(
        packages=tuple(packages),
        attempts=attempts,
        reason=reason,
        runtime_reason=runtime_reason,
        rewritten=rewritten,
        seconds={
            "passes": rewritten_at - began,
            **trial.phases(compiled_at - rewritten_at),
            "measure": measured_at - compiled_at,
            "package": done - measured_at,
        },
    )


def write(package: Package, identity: Identity, out: Path) -> Written:
    """Write a package in its form."""
    if package.form == "oci":
        return write_image(package, identity.version, out)
    return write_package(package, out)


def answered_anew(model: ir.Model, cases: Sequence[Case]) -> tuple[Case, ...]:
    """Return requests with what a model answers that keeps to an accuracy budget."""
    return tuple(replace(case, expected=run_reference(model, case.inputs)) for case in cases)


def decide(
    timings: Sequence[Timings],
    failures: Mapping[str, SutureError],
    wanted: Which,
    target: Target,
) -> tuple[str, str]:
    """Return the backend to ship, and why.

    The faster one ships, in the geometric mean over the cases; within ``TIE`` TVM does, whose
    package needs no runtime library. It ships unmeasured for a target whose programs this
    machine cannot time.
    """
    names = list(timings[0].rounds_ms)
    if not target.runs_here:
        return "tvm", f"unmeasured: this machine cannot time programs for {target.arch}"
    if wanted != "auto":
        return wanted, "as asked for"
    if len(names) == 1:
        (failed,) = failures
        why = failures[failed].message
        return names[0], f"because {failed} does not hold the model: {why}"
    first, second = names
    ratio = statistics.geometric_mean(each.ratio(first, second) for each in timings)
    medians = timings[0].median_ms
    told = f"{medians[first]:.3f} ms against {medians[second]:.3f} ms of {second}"
    if ratio <= 1 / TIE:
        return first, f"the faster one: {told}"
    if ratio <= TIE:
        return first, f"as fast, and smaller: {told}"
    told = f"{medians[second]:.3f} ms against {medians[first]:.3f} ms of {first}"
    return second, f"the faster one: {told}"


class Trial:
    """What the backends make of one model.

    Args:
        model: The model, rewritten by the passes.
        cases: Requests that it must answer right; the first is the one to weigh it with.
        target: Where it will run.
        folder: Folder for what the backends build.
        options: What the user asked for.

    Attributes:
        compiled: What each backend that holds the model made of it.
        runs: The same, ready to run.
        failures: Why the others do not hold it.
    """

    def __init__(
        self,
        model: ir.Model,
        cases: Sequence[Case],
        target: Target,
        folder: Path,
        options: Options,
    ) -> None:
        self._model, self._cases = model, cases
        self._target, self._folder, self._options = target, folder, options
        self.compiled: dict[str, Compiled] = {}
        self.runs: dict[str, Run] = {}
        self.failures: dict[str, SutureError] = {}
        self._notes: dict[str, tuple[str, ...]] = {}
        self._seconds: dict[str, float] = {}
        self._errors: dict[str, float] = {}

    @property
    def tried(self) -> tuple[str, ...]:
        """Names of the backends in the order they were tried."""
        return tuple(self._seconds)

    def compile(self, say: Say) -> None:
        """Compile with every backend asked for; raise where none holds the model."""
        options = self._options
        for backend in backends(
            options.cache,
            size_speed=options.size_speed,
            effort=options.effort,
            cost=options.cost,
        ):
            if options.wanted in ("auto", backend.name):
                self._compile(backend)
                state = "does not hold the model" if backend.name in self.failures else "done"
                say(f"compile with {backend.name}: {state}")
        if not self.compiled:
            raise self._none()

    def _compile(self, backend: Backend) -> None:
        began = time.perf_counter()
        try:
            made = backend.compile(
                self._model.clone(),
                self._target,
                self._folder / backend.name,
                sizes=[case.sizes for case in self._cases if case.sizes],
            )
            if self._target.runs_here:
                run: Run = backend.load(made, self._model, threads=self._target.threads)
                self._verify(backend.name, run)
                self.runs[backend.name] = run
            else:
                self._emulate(backend.name, made)
        except BackendError as error:
            self.failures[backend.name] = error
        except VerifyError as error:
            if self._options.backend != "auto":
                raise
            told = f"its answers are wrong: {error.message}"
            self.failures[backend.name] = BackendError(told, at=error.at)
        else:
            self.compiled[backend.name] = made
        self._seconds[backend.name] = time.perf_counter() - began

    def _verify(self, name: str, run: Run) -> None:
        for case in self._cases:
            answers = run(case.inputs)
            assert_equal(
                case.expected,
                answers,
                what=f"backend {name}",
                rtol=tolerance(self._model),
            )
            error = max_abs_error(case.expected, answers)
            self._errors[name] = max(error, self._errors.get(name, 0.0))

    def _emulate(self, name: str, made: Compiled) -> None:
        """Verify a program of another architecture, or note why it was not."""
        try:
            run = emulated(made, self._target, zig_cache(self._options.cache))
        except BackendError as error:
            self._notes[name] = (f"answers not verified: {error.message}; {error.hint}",)
            return
        self._verify(name, run)
        emulator = find_emulator(self._target.arch, self._target.mcpu)
        self._notes[name] = (f"answers verified under {emulator}, time not measured",)

    def _none(self) -> BackendError:
        if len(self.failures) == 1:
            (error,) = self.failures.values()
            return BackendError(error.message, at=error.at, hint=error.hint)
        told = "\n  ".join(f"{name}: {error}" for name, error in self.failures.items())
        first = next(iter(self.failures.values()))
        return BackendError(
            f"no backend holds the model\n  {told}",
            at=first.at or Location("model"),
            hint="replace the operator, or export the model again",
        )

    def phases(self, whole: float) -> dict[str, float]:
        """Return seconds by phase; what no backend accounts for is checking of answers."""
        seconds: dict[str, float] = {}
        for compiled in self.compiled.values():
            for phase, spent in compiled.seconds.items():
                seconds[phase] = seconds.get(phase, 0.0) + spent
        return {**seconds, "check": whole - sum(seconds.values())}

    def package(self, name: str, identity: Identity, form: Form) -> tuple[Package, str]:
        """Return the package of a backend, and why its runtime.

        Raises:
            BackendError: An image is asked for, and TVM does not hold the model.
        """
        if name not in self.compiled:
            failure = self.failures[name]
            raise BackendError(
                f"no container image can be made: {failure.message}",
                at=failure.at,
                hint="leave --package oci out: a zip can hold ONNX Runtime",
            )
        document = self._document(name, identity)
        wanted = "native" if form == "oci" else self._options.runtime
        runtime, reason = choose_runtime(wanted, document, self._target)
        return self._assemble(name, document, runtime, form), reason

    def weigh(self, name: str, identity: Identity) -> int | None:
        """Return the peak memory of a backend's package, or None where it does not run here.

        Decoders of images are left out: the request is arrays already.
        """
        if name not in self.runs:
            return None
        document = self._document(name, identity)
        runtime, _ = choose_runtime(self._options.runtime, document, self._target)
        package = self._assemble(name, {**document, "image": None}, runtime, "zip")
        return peak_rss_bytes(package, self._cases[0].inputs)

    def _document(self, name: str, identity: Identity) -> dict[str, Any]:
        """Return a package's model.json."""
        return model_document(
            self.compiled[name],
            self._model,
            identity,
            self._target,
            examples={name: array.shape for name, array in self._cases[0].inputs.items()},
        )

    def _assemble(
        self, name: str, document: Mapping[str, Any], runtime: Runtime, form: Form
    ) -> Package:
        return assemble(
            self.compiled[name],
            document,
            self._target,
            runtime=runtime,
            cache=zig_cache(self._options.cache),
            form=form,
        )

    def attempt(self, name: str, timings: Sequence[Timings]) -> Attempt:
        """Return what is known of one backend."""
        if name in self.failures:
            return Attempt(
                backend=name,
                median_ms=None,
                p95_ms=None,
                max_abs_err=None,
                seconds=self._seconds[name],
                notes=(str(self.failures[name]),),
            )
        compiled, first = self.compiled[name], self._cases[0]
        timed = name in timings[0].rounds_ms
        further = [
            f"{case}: {each.median_ms[name]:.3f} ms"
            for case, each in zip(self._cases, timings, strict=True)
            if timed and len(timings) > 1
        ]
        return Attempt(
            backend=name,
            median_ms=timings[0].median_ms[name] if timed else None,
            p95_ms=float(np.percentile(timings[0].rounds_ms[name], 95)) if timed else None,
            max_abs_err=self._errors.get(name),
            seconds=self._seconds[name],
            notes=(*self._notes.get(name, ()), *compiled.notes, *further),
            kernels=profile_kernels(compiled, self.runs[name], first.inputs)
            if timed
            else compiled.kernels,
            choices=compiled.choices,
            arena_bytes=compiled.arena_bytes,
            weight_bytes=compiled.weight_bytes,
        )

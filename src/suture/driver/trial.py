"""Both backends on one model: compiled, verified, weighed, and which of them ships."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from suture.codegen.archive import Form
from suture.codegen.backend.base import Backend, Compiled, Run
from suture.codegen.backend.registry import backends, zig_cache
from suture.codegen.document import Identity, model_document
from suture.codegen.emulate import emulated, find_emulator
from suture.codegen.flavour import Runtime, choose_runtime
from suture.codegen.measure import Timings, profile_kernels
from suture.codegen.package import Package, assemble
from suture.codegen.weigh import peak_rss_bytes
from suture.compiler.target import Target
from suture.compiler.verify import assert_equal, max_abs_error, tolerance
from suture.driver.options import Attempt, Case, Options, Say, Which
from suture.errors import BackendError, Location, SutureError, VerifyError

TIE = 1.1
"""A backend must be faster by more than this ratio to ship in place of the preferred one."""


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

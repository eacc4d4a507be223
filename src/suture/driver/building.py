"""From one model to one package: passes, both backends, the better of them, the archive."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from suture.codegen.document import Identity
from suture.codegen.measure import measure
from suture.codegen.oci import write_image
from suture.codegen.package import Package, Written, write_package
from suture.codegen.provenance import attested
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import LatencyRecord
from suture.compiler.plan.estimate import work
from suture.compiler.target import Target
from suture.compiler.verify import run_reference
from suture.driver.measurements import kernel_records
from suture.driver.options import Attempt, Case, Options, Say
from suture.driver.recipes import recipe_of
from suture.driver.rewriting import Rewritten, rewrite
from suture.driver.trial import Trial, decide
from suture.passes.base import PassContext


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
        context: What passes may know, but for the cost of nodes.
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
    context = replace(context, cost=options.cost_of(target))
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

"""What came out and why: ``report.json`` for scripts, ``report.html`` for people."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suture import __version__
from suture.codegen.archive import written_beside
from suture.codegen.backend.base import Kernel
from suture.codegen.choose.base import By, Choice, Trial
from suture.codegen.package import Written
from suture.codegen.render import render
from suture.compiler.plan.choose import Weighed
from suture.driver.building import Built
from suture.driver.compiling import Compilation
from suture.driver.drawing import draw_front, draw_plan
from suture.driver.options import Attempt
from suture.driver.rewriting import Rewritten
from suture.errors import Location, PackageError
from suture.passes.manager import PassRecord

SHOWN_PLANS = 25
SHOWN_KERNELS = 25
SHOWN_RIVALS = 3
WHY: Mapping[By, str] = {
    "formula": "the first by formula",
    "model": "the fastest by the cost model",
    "measured": "the fastest as measured",
}


def plan_entry(weighed: Weighed) -> dict[str, Any]:
    """Return one weighed plan as JSON has it."""
    e = weighed.estimate
    return {
        "name": e.plan.name,
        "digest": e.plan.digest,
        "steps": [step.ref for step in e.plan.steps],
        "accuracy": e.accuracy,
        "accuracy_measured": e.measured,
        "accuracy_by_condition": {name: value for name, (value, _) in e.by_condition.items()},
        "latency_ms": e.latency_ms,
        "latency_p95_ms": e.latency_p95_ms,
        "peak_bytes": e.peak_bytes,
        "cold_start_ms": e.cold_start_ms,
        "usd_per_million": e.usd_per_million,
        "reward": weighed.reward,
        "pareto": weighed.pareto,
        "chosen": weighed.chosen,
        "reason": weighed.reason,
    }


def compile_document(done: Compilation) -> dict[str, Any]:
    """Return a compilation as JSON has it."""
    first = done.built[0]
    return {
        "name": done.name,
        "suture": __version__,
        "packages": [
            _package_entry(built, written)
            for built in done.built
            for written in built.packages
        ],
        "passes": pass_entries(first.rewritten),
        "latency_ms": first.shipped.median_ms,
        "max_abs_err": first.shipped.max_abs_err,
        "worst_pass_error": first.rewritten.worst_error,
        "seconds": dict(done.seconds),
        "backends": [_attempt_entry(attempt) for attempt in first.attempts],
        "reason": first.reason,
        "profile": _profile_entry(done),
        "plans": [plan_entry(each) for each in done.planned.weighed] if done.planned else [],
    }


def write_report(done: Compilation, folder: Path) -> Path:
    """Write ``report.json`` and ``report.html``; return the page.

    Raises:
        PackageError: The folder cannot be written.
    """
    document = compile_document(done)
    page = folder / "report.html"
    plan = done.planned.chosen.estimate.plan if done.planned else None
    text = render(
        "report",
        "report.html",
        report=document,
        plan_svg=draw_plan(plan) if plan else "",
        front_svg=draw_front(done.planned.weighed) if done.planned else "",
        plans=document["plans"][:SHOWN_PLANS],
        kernels=[_slowest(attempt) for attempt in done.built[0].attempts],
        bars=pass_bars(done.built[0].rewritten.records),
    )
    try:
        with written_beside(folder / "report.json") as partial:
            partial.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        with written_beside(page) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PackageError(
            f"the report cannot be written: {error.strerror}", at=Location(str(folder))
        ) from error
    return page


def pass_bars(records: Sequence[PassRecord]) -> list[dict[str, float]]:
    """Return the waterfall: what each pass left and took away, as fractions of the start."""
    most = max((record.nodes_before for record in records), default=1) or 1
    return [
        {
            "left": 100 * min(record.nodes_before, record.nodes_after) / most,
            "gone": 100 * max(0, record.nodes_before - record.nodes_after) / most,
        }
        for record in records
    ]


def _package_entry(built: Built, package: Written) -> dict[str, Any]:
    return {
        "path": str(package.path),
        "package": package.form,
        "target": package.target.name,
        "runtime": package.runtime,
        "runtime_reason": built.runtime_reason,
        "python": package.python,
        "backend": package.backend,
        "bytes": package.nbytes,
        "unzipped_bytes": package.unzipped_bytes,
        "digest": package.digest,
    }


def pass_entries(rewritten: Rewritten) -> list[dict[str, Any]]:
    """Return what each pass did as JSON has it."""
    return [
        {
            "name": record.name,
            "nodes_before": record.nodes_before,
            "nodes_after": record.nodes_after,
            "operators": dict(measure.operators),
            "weight_bytes": measure.weight_bytes,
            "made": [f"{note.at}: {note.reason}" for note in record.made],
            "declined": [f"{note.at}: {note.reason}" for note in record.declined],
            "seconds": record.seconds,
        }
        for record, measure in zip(rewritten.records, rewritten.measures, strict=True)
    ]


def _attempt_entry(attempt: Attempt) -> dict[str, Any]:
    return {
        "backend": attempt.backend,
        "latency_ms": attempt.median_ms,
        "latency_p95_ms": attempt.p95_ms,
        "max_abs_err": attempt.max_abs_err,
        "seconds": attempt.seconds,
        "arena_bytes": attempt.arena_bytes,
        "weight_bytes": attempt.weight_bytes,
        "peak_rss_bytes": attempt.peak_rss_bytes,
        "notes": list(attempt.notes),
        "kernels": [_kernel_entry(kernel) for kernel in attempt.kernels],
        "choices": [choice_entry(name, each) for name, each in attempt.choices.items()],
    }


def _kernel_entry(kernel: Kernel) -> dict[str, Any]:
    return {"name": kernel.name, "op": kernel.op, "microseconds": kernel.microseconds}


def choice_entry(kernel: str, choice: Choice) -> dict[str, Any]:
    """Return why a kernel has its schedule, as JSON has it."""
    return {
        "kernel": kernel,
        "schedule": choice.trials[0].schedule,
        "by": choice.by,
        "trials": [dataclasses.asdict(trial) for trial in choice.trials],
        "notes": list(choice.notes),
    }


def choice_line(choice: Choice) -> str:
    """Return why a kernel has its schedule, on a line for people."""
    first, *rivals = choice.trials
    rows = [f"{each.schedule}{_against(each, first)}" for each in rivals[:SHOWN_RIVALS]]
    return "; ".join([WHY[choice.by], *rows, *choice.notes])


def _against(rival: Trial, taken: Trial) -> str:
    """Return how a rival compares, in percent of the taken one's time."""
    for mine, theirs, what in (
        (taken.microseconds, rival.microseconds, ""),
        (taken.predicted_us, rival.predicted_us, " expected"),
    ):
        if mine and theirs:
            return f" {100 * (theirs / mine - 1):+.0f} %{what}"
    return ""


def _profile_entry(done: Compilation) -> dict[str, Any] | None:
    profile = done.planned.profile if done.planned else None
    if profile is None:
        return None
    return {
        "kind": profile.kind,
        "shape": list(profile.shape),
        "features": dict(profile.features),
        "steps": list(profile.steps),
        "bucket": profile.bucket,
    }


def memory_line(attempt: Attempt) -> str:
    """Return what is known of a backend's memory, for people."""
    parts = (
        ("{:.1f} MB at most in a process that runs the package", attempt.peak_rss_bytes),
        ("{:.1f} MB of weights", attempt.weight_bytes),
        ("{:.1f} MB for activations", attempt.arena_bytes),
    )
    return ", ".join(form.format(size / 1e6) for form, size in parts if size is not None)


def _slowest(attempt: Attempt) -> Mapping[str, Any]:
    """Return a backend's kernels, the slowest first, each with its share of the slowest."""
    timed = [(k, k.microseconds) for k in attempt.kernels if k.microseconds is not None]
    timed.sort(key=lambda pair: -pair[1])
    most = timed[0][1] if timed else 1.0
    return {
        "backend": attempt.backend,
        "latency_ms": attempt.median_ms,
        "memory": memory_line(attempt),
        "notes": attempt.notes,
        "choices": [
            (name, choice.trials[0].schedule, choice_line(choice))
            for name, choice in attempt.choices.items()
        ],
        "sum_us": sum(spent for _, spent in timed),
        "count": len(timed),
        "rows": [
            {"name": k.name, "op": k.op, "us": spent, "share": 100 * spent / (most or 1.0)}
            for k, spent in timed[:SHOWN_KERNELS]
        ],
    }

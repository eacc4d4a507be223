"""``suture analyze`` and ``suture plan``: look before compiling."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from suture.cli.options import cache, records_of, request
from suture.cli.output import Output, speaking
from suture.compiler.plan.choose import Weighed
from suture.compiler.profile.analyze import analyze as profile_of
from suture.compiler.profile.decode import decode
from suture.compiler.task import read_task
from suture.driver.planning import Planned, plan_task
from suture.driver.report import plan_entry


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@speaking
def analyze(out: Output, task: Path, inputs: tuple[Path, ...]) -> None:
    """Print the request profile of real inputs: features and required steps.

    Example: suture analyze examples/digits/task.toml examples/digits/clean.png
    """
    kind = read_task(task).input.kind
    profiles = [profile_of(decode(path, kind), kind) for path in inputs]
    entries = [
        {
            "input": str(path),
            "kind": profile.kind,
            "shape": list(profile.shape),
            "features": dict(profile.features),
            "steps": list(profile.steps),
            "bucket": profile.bucket,
        }
        for path, profile in zip(inputs, profiles, strict=True)
    ]
    document = {"profiles": entries, **(entries[0] if len(entries) == 1 else {})}

    def show() -> None:
        for path, profile in zip(inputs, profiles, strict=True):
            out.line(f"{path}: {profile.dtype}{list(profile.shape)} {profile.kind}")
            told = ", ".join(f"{name} {value:.4g}" for name, value in profile.features.items())
            out.line(f"  {told}")
            out.line(f"  calls for: {', '.join(profile.steps) or 'nothing'}")

    out.emit(document, show)


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@request
@click.option("--top", type=click.IntRange(min=1), help="Show only the first K plans.")
@click.option("--explain", is_flag=True, help="Say why each plan lost.")
@cache
@speaking
def plan(
    out: Output,
    task: Path,
    request: Path | None,
    top: int | None,
    explain: bool,
    cache: Path,
) -> None:
    """Weigh the candidate plans of TASK, mark the Pareto front and the choice.

    Example: suture plan examples/digits/task.toml --input examples/digits/noisy.png --top 5
    """
    with out.progress(total=4) as say:
        planned = plan_task(read_task(task), request, records=records_of(cache), say=say)
    shown = planned.weighed[:top]
    document = {
        "task": planned.task.name,
        "bucket": planned.profile.bucket if planned.profile else None,
        "candidates": len(planned.search.plans),
        "truncated": planned.search.truncated,
        "plans": [plan_entry(each) for each in shown],
    }
    if explain:
        document["rejected"] = [
            {"what": item.what, "why": item.why} for item in planned.search.rejected
        ]
    out.emit(document, lambda: _show(out, planned, shown, explain=explain))


def _show(out: Output, planned: Planned, shown: Sequence[Weighed], *, explain: bool) -> None:
    if planned.profile:
        out.line(f"the request calls for: {', '.join(planned.profile.steps) or 'nothing'}")
    rows = []
    for each in shown:
        e = each.estimate
        row: list[object] = [
            ("*" if each.chosen else "+" if each.pareto else " ") + " " + e.plan.name,
            round(e.accuracy, 4),
            e.latency_ms,
            round(e.peak_bytes / 2**20, 1),
            round(e.cold_start_ms),
            e.usd_per_million,
        ]
        rows.append([*row, each.reason] if explain else row)
    columns = ["plan", "accuracy", "ms", "MB", "cold ms", "$/million"]
    out.table([*columns, "why"] if explain else columns, rows)
    out.line("* chosen, + on the Pareto front of accuracy, time, memory and price")
    if not planned.weighed[0].estimate.measured:
        out.line("accuracy is composed from the components' metrics, not measured")
    if explain:
        for item in planned.search.rejected:
            out.line(f"not joined: {item.what}: {item.why}")

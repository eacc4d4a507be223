"""``suture learn``: telemetry to a policy."""

from __future__ import annotations

import json
from pathlib import Path

import click

from suture.cli.options import cache, records_of
from suture.cli.output import Output, speaking
from suture.codegen.archive import written_beside
from suture.compiler.task import read_task
from suture.driver.learning import Learned, learn_task


@click.command()
@click.argument("task", type=click.Path(path_type=Path))
@click.option("--log", "logs", multiple=True, required=True, type=click.Path(path_type=Path))
@click.option(
    "--policy",
    default="epsilon-greedy",
    show_default=True,
    help="A policy's spec, for example epsilon-greedy{epsilon=0.05}.",
)
@click.option("-o", "--out", "target", type=click.Path(path_type=Path), help="Write it here.")
@cache
@speaking
def learn(
    out: Output,
    task: Path,
    logs: tuple[Path, ...],
    policy: str,
    target: Path | None,
    cache: Path,
) -> None:
    """Learn a policy for TASK from telemetry, and estimate what it would have earned.

    A request counts once, whatever the files hold. Lines {"request_id": ..., "correct": true}
    say whether an answer was right; without one, the plan's measured accuracy stands in.

    Example: suture learn examples/digits/task.toml --log out/telemetry.jsonl
    """
    learned = learn_task(read_task(task), logs, policy, records=records_of(cache))
    document = {
        "policy": learned.state,
        "estimate_old": learned.old,
        "estimate_new": learned.new.snips,
        "effective_episodes": learned.new.effective,
        "episodes": learned.episodes,
        "added": learned.added,
        "labelled": learned.labelled,
        "skipped_lines": learned.skipped,
    }
    if target:
        with written_beside(target) as partial:
            partial.write_text(json.dumps(learned.state, indent=1) + "\n", encoding="utf-8")
    out.emit(document, lambda: _show(out, learned))


def _show(out: Output, learned: Learned) -> None:
    out.line(
        f"{learned.episodes} requests, {learned.added} of them new, "
        f"{learned.labelled} with a checked answer"
    )
    if learned.skipped:
        out.line(f"{learned.skipped} lines are neither telemetry nor feedback")
    out.line(f"mean reward of what ran: {learned.old:.4f}")
    if learned.new.snips is None:
        out.line("what was logged says nothing about the new policy: none of its plans ran")
    else:
        out.line(
            f"estimate for the new policy: {learned.new.snips:.4f} "
            f"(self-normalised, {learned.new.effective:.0f} effective requests)"
        )
    out.line(json.dumps(learned.state, indent=1))

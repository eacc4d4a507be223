"""Pipelines side by side over some models: what each makes of them, and how fast that is."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from suture.codegen.archive import written_beside
from suture.codegen.measure import Timings, measure_for
from suture.compiler.target import Target
from suture.compiler.verify import max_abs_error
from suture.driver.benching import Ready, Subject, make_ready, on_processors, timed_here
from suture.driver.options import Options, Say
from suture.driver.plotting import draw_bars
from suture.driver.rewriting import Rewriting
from suture.errors import Location, PackageError
from suture.passes.pipeline import parse_pipeline

TABLE, PLOT = "bench.md", "bench.svg"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What one pipeline made of a model.

    Attributes:
        nodes: Nodes that are left.
        weight_bytes: Bytes of the constants that are left.
        pass_seconds: Time of the passes, not verified.
        backend: The backend that would ship.
        median_ms: Median time of one run.
        ratio: Median over rounds of its time by that of the first pipeline.
        max_abs_err: Greatest difference from the model's own answer.
    """

    nodes: int
    weight_bytes: int
    pass_seconds: float
    backend: str
    median_ms: float
    ratio: float
    max_abs_err: float


@dataclass(frozen=True, kw_only=True)
class Match:
    """One model, as every pipeline leaves it.

    Attributes:
        name: The model or the task.
        standings: By pipeline, in the order asked for.
        rounds: How many rounds were timed.
    """

    name: str
    standings: Mapping[str, Standing]
    rounds: int


def compare_pipelines(
    subject: Subject,
    pipelines: Sequence[str],
    target: Target,
    *,
    options: Options,
    seconds: float,
    threads: int | None,
    say: Say,
) -> Match:
    """Build what each pipeline would have shipped, and run all in turn, round by round.

    Args:
        subject: The model.
        pipelines: At least two, as text; each is named by its text.
        target: Where it will run.
        options: How to build, but for the passes.
        seconds: How long to time.
        threads: Threads of every program; None takes as many as the target's memory buys.
        say: Told of each stage.

    Raises:
        SutureError: A pipeline or a backend fails; see ``make_ready``.
    """
    target = timed_here(target, threads)
    inputs = subject.inputs
    with (
        tempfile.TemporaryDirectory(prefix="suture-bench-") as folder,
        on_processors(target.threads),
    ):
        ready = {}
        for number, text in enumerate(pipelines):
            how = Rewriting(passes=parse_pipeline(text), verify=False)
            place = Path(folder) / str(number)
            place.mkdir()
            say(f"{subject.name} through {text}")
            ready[text] = make_ready(
                subject, target, place, replace(options, rewriting=how), say=lambda _: None
            )
        runs = {text: each.run for text, each in ready.items()}
        timings = measure_for(seconds, runs, inputs)
        errors = {
            text: max_abs_error(subject.expected, each.run(inputs))
            for text, each in ready.items()
        }
    standings = {
        text: _standing(each, timings, text, pipelines[0], errors[text])
        for text, each in ready.items()
    }
    return Match(name=subject.name, standings=standings, rounds=len(_rounds(timings)))


def mean_ratios(matches: Sequence[Match]) -> dict[str, float]:
    """Return the geometric mean over models of each pipeline's time by the first one's."""
    return {
        text: statistics.geometric_mean(each.standings[text].ratio for each in matches)
        for text in matches[0].standings
    }


def write_comparison(matches: Sequence[Match], folder: Path) -> tuple[Path, Path]:
    """Write the table as Markdown and the plot as SVG, whole or not at all.

    Raises:
        PackageError: The folder cannot be written.
    """
    pipelines = list(matches[0].standings)
    rows = {each.name: [each.standings[text].ratio for text in pipelines] for each in matches}
    plot = draw_bars(rows, pipelines, title=f"time by that of {pipelines[0]}")
    table, picture = folder / TABLE, folder / PLOT
    try:
        for path, text in ((table, markdown(matches)), (picture, plot)):
            with written_beside(path) as partial:
                partial.write_text(text, "utf-8")
    except OSError as error:
        raise PackageError(
            f"cannot be written: {error.strerror}", at=Location(str(folder))
        ) from error
    return table, picture


def markdown(matches: Sequence[Match]) -> str:
    """Return a table with a row for each model and pipeline, and one for each mean."""
    head = ("model", "pipeline", "nodes", "weights MB", "passes s", "backend", "ms", "ratio")
    rows = [head, ("---",) * len(head)]
    for match in matches:
        for text, each in match.standings.items():
            rows.append(
                (
                    match.name,
                    f"`{text}`",
                    str(each.nodes),
                    f"{each.weight_bytes / 1e6:.2f}",
                    f"{each.pass_seconds:.3f}",
                    each.backend,
                    f"{each.median_ms:.3f}",
                    f"{each.ratio:.3f}",
                )
            )
    for text, ratio in mean_ratios(matches).items():
        rows.append(("**geometric mean**", f"`{text}`", *[""] * 5, f"**{ratio:.3f}**"))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _standing(ready: Ready, timings: Timings, text: str, first: str, error: float) -> Standing:
    return Standing(
        nodes=ready.model.graph.num_nodes(),
        weight_bytes=_nbytes(ready.model.graph.initializers.values()),
        pass_seconds=sum(record.seconds for record in ready.rewritten.records),
        backend=ready.backend,
        median_ms=timings.median_ms[text],
        ratio=timings.ratio(text, first),
        max_abs_err=error,
    )


def _nbytes(values: Iterable[ir.Value]) -> int:
    return sum(value.const_value.nbytes for value in values if value.const_value is not None)


def _rounds(timings: Timings) -> tuple[float, ...]:
    return next(iter(timings.rounds_ms.values()))

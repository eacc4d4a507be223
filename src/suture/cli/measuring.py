"""``suture bench``: against a peer, or pipelines of passes side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import click

from suture.cli.options import (
    DEFAULT_TARGET,
    bind,
    cache,
    cost_model,
    effort,
    neither,
    read_sizes,
    records_of,
    request,
    size_speed,
    unbound,
)
from suture.cli.output import Output, speaking
from suture.codegen.budget import SizeSpeed
from suture.codegen.choose.effort import Effort
from suture.compiler.cost.plugin import CostModelPlugin
from suture.compiler.target import Target, find_target
from suture.compiler.task import Task, read_task
from suture.driver.benching import (
    Comparison,
    Contest,
    Peer,
    Subject,
    bench_model,
    bench_task,
    model_subject,
    task_subject,
)
from suture.driver.options import Options, Say, Which
from suture.driver.pipelines import (
    Match,
    compare_pipelines,
    mean_ratios,
    write_comparison,
)
from suture.driver.rewriting import Rewriting
from suture.errors import Location, RequestError
from suture.passes.pipeline import parse_pipeline

NAMES = {"ort": "ONNX Runtime", "openvino": "OpenVINO"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is to be timed, of every source.

    Attributes:
        target: In place of the task's first, or None.
        bind: Sizes of free dimensions.
        request: A request, or None for a seeded one.
        cache: Folder of the records.
    """

    target: Target | None
    bind: tuple[str, ...]
    request: Path | None
    cache: Path

    def task(self, source: Path) -> Task:
        """Read a task, for the target that was asked for."""
        unbound(self.bind)
        task = read_task(source)
        return dataclasses.replace(task, targets=(self.target,)) if self.target else task

    def subject(self, source: Path, say: Say) -> tuple[Subject, Target]:
        """Return what a source computes, and where it is to run."""
        if source.suffix == ".toml":
            task = self.task(source)
            records = records_of(self.cache)
            return task_subject(task, self.request, records=records, say=say), task.targets[0]
        if source.suffix == ".onnx":
            subject = model_subject(source, bind=read_sizes(self.bind), inputs=self.request)
            return subject, self.target or find_target(DEFAULT_TARGET)
        raise neither(source, "bench")


@click.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="what the target's memory buys",
    help="Threads of each program, each on a processor of its own.",
)
@click.option(
    "--against",
    type=click.Choice([*NAMES]),
    default="ort",
    show_default=True,
    help="The peer, where pipelines are not compared.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="How long to time rounds of runs; 7 of them at least, 101 at most.",
)
@click.option(
    "--passes",
    "pipelines",
    multiple=True,
    default=("exact",),
    show_default=True,
    help="A pipeline's text, name or file; two or more are compared with each other.",
)
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the comparison of pipelines here, as bench.md and bench.svg.",
)
@click.option(
    "--backend", type=click.Choice(["auto", "tvm", "ort"]), default="auto", show_default=True
)
@click.option("--target", help="In place of the task's first.")
@size_speed
@effort
@cost_model
@bind
@request
@cache
@speaking
def bench(
    out: Output,
    sources: tuple[Path, ...],
    threads: int | None,
    against: Peer,
    seconds: float,
    pipelines: tuple[str, ...],
    folder: Path | None,
    backend: Which,
    target: str | None,
    size_speed: SizeSpeed,
    effort: Effort,
    cost: CostModelPlugin,
    bind: tuple[str, ...],
    request: Path | None,
    cache: Path,
) -> None:
    """Time what would ship for SOURCES, each a task.toml or a model.onnx.

    One source is compared with a peer, which reads the model as it is: both run in this
    process in turn, and the ratio is the median over the pairs; below 1 suture is faster.
    With --passes given twice or more, what each pipeline would have shipped is compared.

    Example: suture bench net.onnx other.onnx --passes none --passes exact -o bench
    """
    options = Options(
        cache=cache,
        effort=effort,
        cost=cost,
        backend=backend,
        size_speed=size_speed,
        rewriting=Rewriting(passes=parse_pipeline(pipelines[0]), verify=False),
    )
    chosen = find_target(target) if target else None
    asked = Asked(target=chosen, bind=bind, request=request, cache=cache)
    if len(pipelines) > 1:
        matches = _compare(out, sources, pipelines, asked, options, seconds, threads)
        _show_matches(out, matches, folder)
    elif len(sources) > 1 or folder is not None:
        raise RequestError(
            "several sources, and a folder, are for pipelines that are compared",
            at=Location("bench"),
            hint="give at least two: --passes none --passes exact",
        )
    else:
        contest = Contest(peer=against, threads=threads, seconds=seconds, options=options)
        _show(out, _against_peer(out, sources[0], contest, asked))


def _against_peer(out: Output, source: Path, contest: Contest, asked: Asked) -> Comparison:
    with out.progress(total=8 if source.suffix == ".toml" else 4) as say:
        if source.suffix == ".toml":
            records = records_of(asked.cache)
            return bench_task(
                asked.task(source), asked.request, contest, records=records, say=say
            )
        if source.suffix == ".onnx":
            return bench_model(
                source,
                asked.target or find_target(DEFAULT_TARGET),
                contest,
                bind=read_sizes(asked.bind),
                inputs=asked.request,
                say=say,
            )
        raise neither(source, "bench")


def _compare(
    out: Output,
    sources: Sequence[Path],
    pipelines: tuple[str, ...],
    asked: Asked,
    options: Options,
    seconds: float,
    threads: int | None,
) -> list[Match]:
    for text in pipelines:
        parse_pipeline(text)  # what is wrong is told before anything is built
    distinct = tuple(dict.fromkeys(pipelines))
    with out.progress(total=len(sources) * len(distinct)) as say:
        matches = []
        for source in sources:
            subject, target = asked.subject(source, say)
            matches.append(
                compare_pipelines(
                    subject,
                    distinct,
                    target,
                    options=options,
                    seconds=seconds,
                    threads=threads,
                    say=say,
                )
            )
    return matches


def _show_matches(out: Output, matches: Sequence[Match], folder: Path | None) -> None:
    written = write_comparison(matches, folder) if folder else ()
    means = mean_ratios(matches)
    document = {
        "models": [
            {
                "name": match.name,
                "rounds": match.rounds,
                "pipelines": {
                    text: dataclasses.asdict(each) for text, each in match.standings.items()
                },
            }
            for match in matches
        ],
        "mean_ratio": means,
        "files": [str(path) for path in written],
    }

    def show() -> None:
        rows = [
            (match.name, text, each.nodes, each.backend, each.median_ms, each.ratio)
            for match in matches
            for text, each in match.standings.items()
        ]
        out.table(("model", "pipeline", "nodes", "backend", "ms", "ratio"), rows)
        for text, ratio in means.items():
            out.line(f"mean     {ratio:.3f} of the first, over {len(matches)}: {text}")
        for path in written:
            out.line(f"written  {path}")

    out.emit(document, show)


def _show(out: Output, done: Comparison) -> None:
    document = {
        "name": done.name,
        "backend": done.backend,
        "reason": done.reason,
        "suture_ms": done.suture_ms,
        "peer": done.peer,
        "peer_ms": done.peer_ms,
        "ratio": done.ratio,
        "max_abs_err": done.max_abs_err,
        "threads": done.threads,
        "pairs": done.pairs,
    }

    def show() -> None:
        out.line(f"suture   {done.suture_ms:.3f} ms, {done.backend}: {done.reason}")
        out.line(f"peer     {done.peer_ms:.3f} ms, {NAMES[done.peer]}")
        count = f"{done.threads} thread" + "s" * (done.threads > 1)
        out.line(f"ratio    {done.ratio:.2f}, the median of {done.pairs} pairs on {count}")
        out.line(f"answers  largest difference from the reference {done.max_abs_err:.1e}")

    out.emit(document, show)

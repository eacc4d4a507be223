"""``suture bench``."""

from __future__ import annotations

import dataclasses
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
from suture.compiler.target import find_target
from suture.compiler.task import read_task
from suture.driver.benching import Contest, Peer, bench_model, bench_task
from suture.driver.building import Options
from suture.driver.rewriting import Rewriting

NAMES = {"ort": "ONNX Runtime", "openvino": "OpenVINO"}


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    show_default="what the target's memory buys",
    help="Threads of both, each on a processor of its own.",
)
@click.option(
    "--against",
    type=click.Choice([*NAMES]),
    default="ort",
    show_default=True,
    help="The peer.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0),
    default=8.0,
    show_default=True,
    help="How long to time pairs of runs; 7 of them at least, 101 at most.",
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
    source: Path,
    threads: int | None,
    against: Peer,
    seconds: float,
    target: str | None,
    size_speed: SizeSpeed,
    effort: Effort,
    cost: CostModelPlugin,
    bind: tuple[str, ...],
    request: Path | None,
    cache: Path,
) -> None:
    """Time what would ship for SOURCE, a task.toml or one model.onnx, against a peer.

    Both run in this process, one after the other, pair by pair; the ratio is the median over
    the pairs, and below 1 suture is faster. The peer reads the model as it is.

    Example: suture bench net.onnx --threads 2 --against openvino
    """
    options = Options(
        cache=cache,
        effort=effort,
        cost=cost,
        size_speed=size_speed,
        rewriting=Rewriting(verify=False),
    )
    contest = Contest(peer=against, threads=threads, seconds=seconds, options=options)
    chosen = find_target(target) if target else None
    with out.progress(total=8 if source.suffix == ".toml" else 4) as say:
        if source.suffix == ".toml":
            unbound(bind)
            task = read_task(source)
            if chosen:
                task = dataclasses.replace(task, targets=(chosen,))
            done = bench_task(task, request, contest, records=records_of(cache), say=say)
        elif source.suffix == ".onnx":
            done = bench_model(
                source,
                chosen or find_target(DEFAULT_TARGET),
                contest,
                bind=read_sizes(bind),
                inputs=request,
                say=say,
            )
        else:
            raise neither(source, "bench")
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

"""``suture compile`` and ``suture invoke``."""

from __future__ import annotations

import dataclasses
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

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
from suture.cli.rewriting import bisected, rewriting
from suture.cli.rewriting import explain as explain_passes
from suture.codegen.archive import Form
from suture.codegen.budget import SizeSpeed
from suture.codegen.choose.effort import Effort
from suture.codegen.flavour import Wanted
from suture.codegen.invoke import invoke as invoke_package
from suture.codegen.invoke import read_model
from suture.codegen.request import arrays, file_event, random_event
from suture.compiler.cost.plugin import CostModelPlugin
from suture.compiler.target import Target, find_target
from suture.compiler.task import Task, read_task
from suture.driver.bisecting import bisect_model, bisect_task
from suture.driver.compiling import Compilation, compile_model, compile_task
from suture.driver.options import Attempt, Options, Which
from suture.driver.report import compile_document, write_report
from suture.driver.rewriting import Rewriting
from suture.errors import InvokeError, Location

MOST_SHOWN = 20


@click.command("compile")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", "folder", required=True, type=click.Path(path_type=Path))
@click.option("--target", "targets", multiple=True, help="In place of the task's.")
@click.option(
    "--runtime",
    type=click.Choice(["auto", "native", "python"]),
    default="auto",
    show_default=True,
    help="What serves the model in the package; auto is native where that can be.",
)
@click.option(
    "--package",
    "forms",
    type=click.Choice(["zip", "oci"]),
    multiple=True,
    default=("zip",),
    show_default=True,
    help="A zip, or a container image of the native runtime; may be given twice.",
)
@click.option(
    "--backend", type=click.Choice(["auto", "tvm", "ort"]), default="auto", show_default=True
)
@rewriting
@click.option("--explain", is_flag=True, help="Say what each pass made and declined, and why.")
@click.option(
    "--bisect",
    is_flag=True,
    help="Build nothing: find the first pass after which an answer is wrong or a backend "
    "fails; exit code 1 where there is one.",
)
@size_speed
@effort
@cost_model
@bind
@request
@cache
@speaking
def compile_(
    out: Output,
    source: Path,
    folder: Path,
    targets: tuple[str, ...],
    runtime: Wanted,
    forms: tuple[Form, ...],
    backend: Which,
    rewriting: Rewriting,
    explain: bool,
    bisect: bool,
    size_speed: SizeSpeed,
    effort: Effort,
    cost: CostModelPlugin,
    bind: tuple[str, ...],
    request: Path | None,
    cache: Path,
) -> None:
    """Build deployable packages of SOURCE, a task.toml or one model.onnx, with a report.

    Example: suture compile examples/digits/task.toml -o out
    """
    options = Options(
        cache=cache,
        rewriting=rewriting,
        backend=backend,
        runtime=runtime,
        size_speed=size_speed,
        effort=effort,
        cost=cost,
        forms=tuple(dict.fromkeys(forms)),
    )
    chosen = tuple(map(find_target, targets))
    if bisect:
        _bisect(out, source, folder, chosen, options, read_sizes(bind), request)
        return
    records = records_of(cache)
    with out.progress(total=9 if source.suffix == ".toml" else 5) as say:
        if source.suffix == ".toml":
            unbound(bind)
            task = _task(source, chosen)
            done = compile_task(
                task, request, folder, options=options, records=records, say=say
            )
        elif source.suffix == ".onnx":
            done = compile_model(
                source,
                chosen or (find_target(DEFAULT_TARGET),),
                folder,
                bind=read_sizes(bind),
                inputs=request,
                options=options,
                records=records,
                say=say,
            )
        else:
            raise neither(source, "compile")
        document = compile_document(done)
        pages = write_report(done, folder)
    out.emit(document, lambda: _show(out, done, document["passes"] if explain else (), pages))


def _task(source: Path, targets: tuple[Target, ...]) -> Task:
    """Return a task, with other targets than its own where some are given."""
    task = read_task(source)
    return dataclasses.replace(task, targets=targets) if targets else task


def _bisect(
    out: Output,
    source: Path,
    folder: Path,
    targets: tuple[Target, ...],
    options: Options,
    sizes: dict[str, tuple[int, ...]],
    request: Path | None,
) -> None:
    """Look for the pass that breaks what would be built; exit with 1 where there is one."""
    with out.progress(total=12 if source.suffix == ".toml" else 5) as say:
        if source.suffix == ".toml":
            task = _task(source, targets)
            records = records_of(options.cache)
            found = bisect_task(
                task, request, folder, options=options, records=records, say=say
            )
        elif source.suffix == ".onnx":
            target = targets[0] if targets else find_target(DEFAULT_TARGET)
            found = bisect_model(
                source, target, folder, bind=sizes, inputs=request, options=options, say=say
            )
        else:
            raise neither(source, "compile")
    if not bisected(out, found):
        sys.exit(1)


def _show(
    out: Output, done: Compilation, passes: Sequence[Mapping[str, Any]], pages: Path
) -> None:
    """Print what was built, and where the passes are to be explained, what they did."""
    if done.planned:
        out.line(f"plan     {done.planned.chosen.estimate.plan.name}")
    explain_passes(out, passes)
    for built in done.built:
        shipped = built.shipped
        out.line(f"backend  {shipped.backend}: {built.reason}")
        out.line(f"runtime  {built.written.runtime}: {built.runtime_reason}")
        for package in built.packages:
            out.line(
                f"package  {package.path}  {package.nbytes:,} bytes "
                f"({package.unzipped_bytes:,} unpacked)"
            )
        out.line(f"answers  {_answers(shipped)}")
    out.line(f"report   {pages}")


def _answers(shipped: Attempt) -> str:
    """Return how long a package takes and how right it is, as far as that is known."""
    if shipped.max_abs_err is None:
        return shipped.notes[0]
    spent = "not timed" if shipped.median_ms is None else f"{shipped.median_ms:.3f} ms"
    return f"{spent}, largest difference from the reference {shipped.max_abs_err:.1e}"


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@request
@click.option("--cold", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--warm", type=click.IntRange(min=0), default=20, show_default=True)
@click.option("--memory-mb", type=click.IntRange(128, 10240), default=1769, show_default=True)
@click.option(
    "--log", type=click.Path(path_type=Path), help="Append the function's telemetry here."
)
@speaking
def invoke(
    out: Output,
    package: Path,
    request: Path | None,
    cold: int,
    warm: int,
    memory_mb: int,
    log: Path | None,
) -> None:
    """Run PACKAGE under a local Lambda Runtime API and call it.

    Without --input, the request is seeded random numbers that fit the ports.

    Example: suture invoke out/digits-lambda-x86_64.zip --input examples/digits/noisy.png
    """
    model = read_model(package)
    event = file_event(request, model) if request else random_event(model)
    result = invoke_package(package, event, cold=cold, warm=warm, memory_mb=memory_mb)
    if isinstance(result.output, dict) and "error" in result.output:
        raise InvokeError(
            f"the package refuses the request: {result.output['error']}",
            at=Location(str(package)),
        )
    if log:
        _append(log, result.telemetry)
    document = {
        "output": result.output,
        "ready_ms": list(result.ready_ms),
        "cold_ms": list(result.cold_ms),
        "warm_ms": list(result.warm_ms),
        "max_rss_bytes": result.max_rss_bytes,
    }

    def show() -> None:
        if isinstance(result.output, dict) and "outputs" in result.output:
            for name, array in arrays(result.output).items():
                out.line(f"{name}  {array.dtype}{list(array.shape)}  {_summary(array)}")
        else:
            out.line(f"output  {result.output}")
        out.line(f"ready   {statistics.median(result.ready_ms):.1f} ms (median of {cold})")
        out.line(f"cold    {statistics.median(result.cold_ms):.1f} ms to the first answer")
        if result.warm_ms:
            out.line(f"warm    {statistics.median(result.warm_ms):.2f} ms (median of {warm})")
        out.line(f"memory  {result.max_rss_bytes / 1e6:.1f} MB at most")
        if result.emulator:
            out.line(f"under   {result.emulator}, whose times say nothing of the target's")

    out.emit(document, show)


def _append(log: Path, lines: tuple[str, ...]) -> None:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{line}\n" for line in lines)
    except OSError as error:
        raise InvokeError(
            f"the log cannot be written: {error.strerror}", at=Location(str(log))
        ) from error


def _summary(array: np.ndarray[Any, Any]) -> str:
    flat = array.reshape(-1)
    if flat.size <= MOST_SHOWN:
        best = f", the greatest at {int(flat.argmax())}" if flat.size > 1 else ""
        return " ".join(f"{value:.4g}" for value in flat) + best
    return f"from {flat.min():.4g} to {flat.max():.4g}"

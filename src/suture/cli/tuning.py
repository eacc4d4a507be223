"""``suture tune`` and ``suture cost``: measured schedules, and what learns from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from suture.cli.options import DEFAULT_TARGET, bind, cache, read_sizes, records_of
from suture.cli.output import Output, speaking
from suture.codegen.choose.model import MODEL
from suture.compiler.cost.evaluate import Quality
from suture.compiler.target import find_target
from suture.driver.tuning import evaluate_records, tune_source
from suture.errors import Location, RequestError


@click.command("tune")
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "--trials",
    required=True,
    type=click.IntRange(min=2),
    help="Most schedules to measure for each kernel.",
)
@click.option(
    "--executor",
    type=click.Choice(["local", "ray", "rpc"]),
    default="local",
    show_default=True,
    help="Where to measure.",
)
@click.option("--target", default=DEFAULT_TARGET, show_default=True)
@bind
@cache
@speaking
def tune_(
    out: Output,
    source: Path,
    trials: int,
    executor: str,
    target: str,
    bind: tuple[str, ...],
    cache: Path,
) -> None:
    """Measure schedules of the kernels of SOURCE, a task.toml or a model.onnx, and learn.

    Measurements become records. Once enough kernels were measured, a cost model learns from
    all records of this machine, and compiling with --effort 1 to 3 uses it.

    Example: suture tune net.onnx --trials 16
    """
    if executor != "local":
        raise RequestError(
            f"the executor {executor} is not there yet",
            at=Location("--executor"),
            hint="measure on this machine: --executor local",
        )
    with out.progress(total=3) as say:
        tuned = tune_source(
            source,
            find_target(target),
            trials=trials,
            bind=read_sizes(bind),
            records=records_of(cache),
            learned=cache / MODEL,
            say=say,
        )
    document = {
        "records": tuned.records,
        "kernels": tuned.kernels,
        "before": _entry(tuned.before),
        "after": _entry(tuned.after),
    }

    def show() -> None:
        out.line(f"{tuned.records} schedules of {tuned.kernels} kernels measured")
        _tell(out, "the model in force, on these", tuned.before)
        _tell(out, "learned anew, on kernels held out", tuned.after)

    out.emit(document, show)


@click.group()
def cost() -> None:
    """What the cost model is worth.

    Example: suture cost evaluate
    """


@cost.command()
@click.option(
    "--against", type=click.Choice(["xgboost"]), help="Another learner on the same records."
)
@click.option("--target", default=DEFAULT_TARGET, show_default=True)
@click.option(
    "--folds",
    type=click.IntRange(min=2),
    help="Parts to hold out one after the other; without it, each kernel by itself.",
)
@cache
@speaking
def evaluate(
    out: Output, against: str | None, target: str, folds: int | None, cache: Path
) -> None:
    """Learn from the records of this machine, and predict kernels that were left out.

    Example: suture cost evaluate --folds 10
    """
    if against:
        raise RequestError(
            f"comparing with {against} is not there yet",
            at=Location("--against"),
            hint="leave it out: the rules' own formulas are compared with",
        )
    found = evaluate_records(records_of(cache), find_target(target), folds=folds)
    document = {
        **dataclasses.asdict(found.model),
        "fit_seconds": found.fit_seconds,
        "rows_per_second": found.rows_per_second,
        "formula": dataclasses.asdict(found.formula),
    }

    def show() -> None:
        _tell(out, "cost model", found.model)
        _tell(out, "formula", found.formula)
        out.line(
            f"{found.model.samples} schedules of {found.model.kernels} kernels; "
            f"learning takes {found.fit_seconds:.1f} s, "
            f"{found.rows_per_second:,.0f} predictions a second"
        )

    out.emit(document, show)


def _entry(quality: Quality | None) -> dict[str, float | None] | None:
    return dataclasses.asdict(quality) if quality else None


def _tell(out: Output, name: str, quality: Quality | None) -> None:
    if quality is None:
        out.line(f"{name}: too little is known to say")
        return
    out.line(
        f"{name}: {quality.pairwise_accuracy:.1%} of pairs in the right order, "
        f"the first choice {quality.top1_regret:.1%} slower than the best, "
        f"{quality.top1_worst:.0%} at worst"
    )

"""What 8 bits do to the example's programs: size of the package, time, and accuracy.

    .venv/bin/python benchmarks/quantising.py [--seconds S] [PLAN ...]

Each plan is linked for the example's requests and goes through the exact passes, and through
the exact passes and ``quantize``. Programs of one plan run in turn in one process, on one
thread. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from digits_plans import linked_plan

from suture.codegen.backend.base import Run
from suture.codegen.document import Identity
from suture.codegen.measure import Timings, measure_for, pinned
from suture.compiler.cost.rows import machine, versions
from suture.compiler.evaluation import Evaluation
from suture.compiler.target import Target, find_target
from suture.compiler.verify import run_reference
from suture.driver.building import write
from suture.driver.options import Case, Options
from suture.driver.trial import Trial
from suture.passes.base import PassContext
from suture.passes.budget import SEED
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

SHOWN = (
    "digit-cnn-small",
    "digit-monolith",
    "digit-contrast > digit-denoise > digit-deskew > digit-cnn-large",
)
PIPELINES = {"exact": "exact", "8 bits": "exact,quantize{{budget={budget}}}"}


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a pipeline made of a plan.

    Attributes:
        model: The model.
        runs: What each backend made of it.
        nbytes: Of the package with TVM's program.
        told: What the last pass said.
    """

    model: ir.Model
    runs: dict[str, Run]
    nbytes: int
    told: str


def main() -> None:
    """Quantise, compile, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.005)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("plans", nargs="*", default=SHOWN)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    target = find_target("lambda-x86_64")
    print(f"{machine()}; {versions()}; one thread\n", flush=True)
    columns = ("plan", "passes", "zip kB", "TVM ms", "ratio", "ONNX Runtime ms")
    columns += ("accuracy falls, chosen", "held out")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    told = []
    for name in options.plans:
        linked, evaluation = linked_plan(name)
        with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder:
            made = {
                what: make(
                    linked.clone(),
                    text.format(budget=options.budget),
                    evaluation,
                    target,
                    Path(folder) / str(number),
                )
                for number, (what, text) in enumerate(PIPELINES.items())
            }
            runs = {
                f"{what} {backend}": run
                for what, each in made.items()
                for backend, run in each.runs.items()
            }
            with pinned(1):
                timings = measure_for(options.seconds, runs, evaluation.requests[0])
        print("\n".join(rows(name, made, timings, evaluation)), flush=True)
        told += [f"- {name}, {what}: {each.told}" for what, each in made.items() if each.told]
    print("\n" + "\n".join(told))


def make(
    model: ir.Model, passes: str, evaluation: Evaluation, target: Target, folder: Path
) -> Made:
    """Rewrite a model and compile it with both backends."""
    context = PassContext(evaluation=evaluation, target=target)
    records = PassManager(parse_pipeline(passes)).run(model, context)
    request = evaluation.requests[0]
    case = Case(inputs=request, expected=run_reference(model, request))
    cache = Path.home() / ".cache" / "suture"
    trial = Trial(model, [case], target, folder, Options(cache=cache))
    trial.compile(lambda _: None)
    identity = Identity(name="digits", version="0")
    package, _ = trial.package("tvm", identity, "zip")
    inexact = [note.reason for record in records[-1:] for note in record.made]
    return Made(
        model=model,
        runs=trial.runs,
        nbytes=write(package, identity, folder).nbytes,
        told=inexact[0] if inexact else "",
    )


def rows(
    name: str, made: dict[str, Made], timings: Timings, evaluation: Evaluation
) -> Sequence[str]:
    """Return a row for each pipeline; ratios and falls are to the first."""
    halves = evaluation.halves(np.random.default_rng(SEED))
    whole = made["exact"].model
    lines = []
    for what, each in made.items():
        falls = [
            half.hits(whole, optimize=False).mean()
            - half.hits(each.model, optimize=False).mean()
            for half in halves
        ]
        lines.append(
            f"| {name} | {what} | {each.nbytes / 1e3:.0f} "
            f"| {timings.median_ms[f'{what} tvm']:.3f} "
            f"| {timings.ratio(f'{what} tvm', 'exact tvm'):.2f} "
            f"| {timings.median_ms[f'{what} ort']:.3f} | {falls[0]:.4f} | {falls[1]:.4f} |"
        )
    return lines


if __name__ == "__main__":
    main()

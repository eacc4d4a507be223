"""Make the cost model that ships: measure schedules of many kernels, learn, write the file.

    .venv/bin/python benchmarks/cost_model.py measure --records FILE [NETWORK ...]
    .venv/bin/python benchmarks/cost_model.py fit --records FILE

``measure`` adds to the file what it finds of the kernels of some networks, by default of all
in ``benchmarks/networks``: the first schedules by formula, neighbours of the fastest, and some
drawn by chance. ``fit`` prints how good a model is on kernels that it was not shown, and
writes one that has learned of all.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import numpy as np

from suture.codegen.choose.measuring import BySearch
from suture.codegen.lower import lower
from suture.codegen.processor import tvm_target
from suture.compiler.cost.evaluate import Quality, evaluate
from suture.compiler.cost.model import KernelModel
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import machine
from suture.compiler.target import find_target
from suture.driver.measurements import kernel_records, samples_for
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

sys.path.insert(0, str(Path(__file__).parent / "networks"))
import catalogue

TARGET = find_target("lambda-x86_64")
SHIPPED = Path(__file__).parents[1] / "compiler" / "cost" / "cost-model.npz"
FOLDS = 10


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Stay on one processor, in real time where that is allowed.

    Where a lock is given, be the only one who holds it.
    """
    allowed, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    with (lock or Path(os.devnull)).open("a") as stream:
        if lock:
            fcntl.flock(stream, fcntl.LOCK_EX)
        os.sched_setaffinity(0, {max(allowed)})
        with suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        try:
            yield
        finally:
            os.sched_setscheduler(0, policy, os.sched_param(0))
            os.sched_setaffinity(0, allowed)


def measure(options: argparse.Namespace) -> None:
    """Add measurements of networks to the records."""
    chooser = BySearch(
        tvm_target(TARGET), trials=options.trials, alone=partial(alone, options.lock)
    )
    names = options.networks or [name for each in catalogue.SETS.values() for name in each]
    for name in names:
        model = catalogue.build(name, options.face)
        PassManager(parse_pipeline("exact")).run(model)
        choices = lower(model, TARGET, chooser=chooser).choices
        count = options.records.add_kernels(kernel_records(choices.values(), TARGET))
        print(f"{name}: {count} schedules of {len(choices)} kernels", flush=True)


def fit(options: argparse.Namespace) -> None:
    """Print how good a model is, and write one."""
    samples = samples_for(options.records, TARGET)
    found = evaluate(samples, KernelModel(), folds=FOLDS)
    print("| order by | right pairs | first choice | at worst | best of three | mean error |")
    print("|---|---|---|---|---|---|")
    print(row("formula", found.formula))
    print(row("cost model", found.model))
    print(
        f"\n{found.model.samples} schedules of {found.model.kernels} kernels, held out in "
        f"{FOLDS} parts; learning takes {found.fit_seconds:.1f} s, a second is enough for "
        f"{found.rows_per_second:,.0f} predictions. {machine()}, {TARGET.mcpu}, one thread"
    )
    about = f"{len(samples)} schedules measured on {machine()} for {TARGET.mcpu}"
    times = np.array([sample.microseconds for sample in samples])
    model = KernelModel(about=about).fit([sample.facts for sample in samples], times)
    model.save(options.out)


def row(name: str, quality: Quality) -> str:
    """Return one row of the table; regrets as percent of the fastest one's time."""
    error = "" if quality.mape is None else f"{quality.mape:.0%}"
    return (
        f"| {name} | {quality.pairwise_accuracy:.3f} | +{quality.top1_regret:.1%} "
        f"| +{quality.top1_worst:.0%} | +{quality.top3_regret:.1%} | {error} |"
    )


def main() -> None:
    """Measure or fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=lambda text: Records(Path(text)), required=True)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("networks", nargs="*")
    measuring.add_argument("--trials", type=int, default=12)
    measuring.add_argument("--lock", type=Path, help="A file to lock while the clock runs.")
    measuring.add_argument("--face", type=Path, default=Path("face-slim-320.onnx"))
    measuring.set_defaults(run=measure)
    fitting = commands.add_parser("fit")
    fitting.add_argument("-o", "--out", type=Path, default=SHIPPED)
    fitting.set_defaults(run=fit)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()

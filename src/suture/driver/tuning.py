"""From a model to measured schedules of its kernels, and a cost model that learned of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from suture.codegen.choose.bench import Alone, runs_here
from suture.codegen.choose.measuring import BySearch
from suture.codegen.choose.model import ByModel, cost_model
from suture.codegen.lower import lower
from suture.codegen.processor import tvm_target
from suture.compiler.cost.evaluate import Evaluation, Quality, Sample, evaluate, quality
from suture.compiler.cost.model import KernelModel, preferring
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import KernelRecord, machine
from suture.compiler.model import load_model
from suture.compiler.target import Target
from suture.compiler.task import read_task
from suture.driver.cases import bind_sizes
from suture.driver.measurements import kernel_records, samples, samples_for
from suture.driver.planning import plan_task
from suture.errors import Location, ModelError, RequestError, SutureError
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

Say = Callable[[str], None]
FEWEST = 12
"""Kernels to have measured before a model learns from them alone."""
FOLDS = 8


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What was measured and what came of it.

    Attributes:
        kernels: Kernels that had a choice of schedules.
        records: Measurements added.
        before: How the cost model in force did on them.
        after: How one that learns from all records does on kernels it was not shown, or None
            where too few were measured to learn from.
    """

    kernels: int
    records: int
    before: Quality | None
    after: Quality | None


def tune(
    models: Iterable[ir.Model],
    target: Target,
    *,
    trials: int,
    records: Records,
    learned: Path,
    say: Say,
    alone: Alone = nullcontext,
) -> Tuned:
    """Measure schedules of every kernel of some models, add records, and learn from them all.

    Args:
        models: Every shape in them is fixed.
        target: Whose code to measure.
        trials: Most schedules to measure for a kernel.
        records: Where measurements are kept.
        learned: Where the model is put that learned from the records.
        say: Told of each stage.
        alone: What to be in while the clock runs.

    Raises:
        SutureError: This machine does not run the target's code.
        BackendError: TVM does not hold a model.
    """
    processor = tvm_target(target)
    if not runs_here(processor):
        raise SutureError(
            f"this machine does not run code for {target.mcpu}",
            at=Location(target.name),
            hint="tune on a machine of the target's kind",
        )
    current = cost_model(learned)
    chooser = BySearch(processor, ByModel(current), trials=trials, alone=alone)
    added: list[KernelRecord] = []
    kernels = 0
    for model in models:
        choices = lower(model, target, chooser=chooser).choices
        found = kernel_records(choices.values(), target)
        records.add_kernels(found)
        added += found
        kernels += len({record.kernel for record in found})
        say(f"measured: {len(found)} schedules of {len(choices)} kernels")
    before = judge(current, [each for each in samples(added) if current.knows(each.facts)])
    after = learn(records, target, learned)
    say("learned" if after else f"not learned: fewer than {FEWEST} kernels were measured")
    return Tuned(kernels=kernels, records=len(added), before=before, after=after)


def tune_source(
    source: Path,
    target: Target,
    *,
    trials: int,
    bind: Mapping[str, Sequence[int]],
    records: Records,
    learned: Path,
    say: Say,
) -> Tuned:
    """Tune the model that would be compiled of a ``task.toml`` or a ``model.onnx``.

    Raises:
        SutureError: The source cannot be read, or see ``tune``.
    """
    if source.suffix == ".toml":
        if bind:
            raise RequestError("a task binds its own input", at=Location("--bind"))
        model = plan_task(read_task(source), records=records, say=say).model.clone()
    elif source.suffix == ".onnx":
        model = load_model(source)
        bind_sizes(model, bind, source)
    else:
        raise ModelError(
            "neither a task.toml nor a model.onnx",
            at=Location(str(source)),
            hint="suture tune --help shows an example",
        )
    PassManager(parse_pipeline("exact")).run(model)
    return tune([model], target, trials=trials, records=records, learned=learned, say=say)


def evaluate_records(
    records: Records, target: Target, *, folds: int | None = None
) -> Evaluation:
    """Return how a model that learns from this machine's records does on held-out kernels.

    Raises:
        SutureError: Fewer than two kernels were measured.
    """
    measured = samples_for(records, target)
    if len({each.kernel for each in measured}) < 2:
        raise SutureError(
            f"fewer than two kernels were measured here for {target.mcpu}",
            at=Location(str(records.path)),
            hint="measure some: suture tune MODEL --trials 16",
        )
    return evaluate(measured, KernelModel(), folds=folds)


def judge(model: KernelModel, measured: Sequence[Sample]) -> Quality | None:
    """Return how a model does on samples, or None where there are none."""
    if not measured:
        return None
    expected = model.predict([each.facts for each in measured])
    ranks = np.array([each.rank for each in measured])
    return quality(measured, preferring(expected, ranks), predicted=expected)


def learn(records: Records, target: Target, learned: Path) -> Quality | None:
    """Fit a cost model to this machine's records, if there are enough, and write it."""
    measured = samples_for(records, target)
    if len({each.kernel for each in measured}) < FEWEST:
        return None
    about = f"{len(measured)} schedules measured on {machine()} for {target.mcpu}"
    fresh = KernelModel(about=about)
    after = evaluate(measured, fresh, folds=FOLDS).model
    times = np.array([each.microseconds for each in measured])
    fresh.fit([each.facts for each in measured], times).save(learned)
    return after

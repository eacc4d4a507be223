"""From a task to weighed plans: the first half of the way."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.component import Component, Port
from suture.compiler.cost.records import Records
from suture.compiler.cost.roofline import Roofline
from suture.compiler.cost.rows import LatencyRecord
from suture.compiler.library import Library
from suture.compiler.link import link
from suture.compiler.plan.base import INPUT, Plan
from suture.compiler.plan.choose import Weighed, choose
from suture.compiler.plan.estimate import Latency, estimate, measure_latency, work
from suture.compiler.plan.evaluate import (
    Accuracy,
    EvaluationSet,
    composed,
    evaluate,
    read_evaluation,
)
from suture.compiler.plan.search import Search, search
from suture.compiler.profile.analyze import analyze
from suture.compiler.profile.base import RequestProfile
from suture.compiler.profile.decode import decode
from suture.compiler.remote import is_url, pull
from suture.compiler.target import Target
from suture.compiler.task import Task
from suture.errors import LibraryError, Location
from suture.passes.base import PassContext

Say = Callable[[str], None]

MEASURED = 64
"""Most plans to time; of more, those that the cost model expects the most of."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Everything known once a task has been planned.

    Attributes:
        task: What was asked for.
        components: The library by ``name@version``.
        entry: The task's input with the shape of the requests this is for.
        profile: What the given request looks like, or None where none was given.
        sample: One real or seeded request.
        evaluation: The evaluation set, or None.
        weighed: Every candidate, the chosen one first.
        accuracies: Accuracy of each plan by its digest.
        search: What the search tried.
        model: The chosen plan, linked.
    """

    task: Task
    components: Mapping[str, Component]
    entry: Port
    profile: RequestProfile | None
    sample: npt.NDArray[Any]
    evaluation: EvaluationSet | None
    weighed: tuple[Weighed, ...]
    accuracies: Mapping[str, Accuracy]
    search: Search
    model: ir.Model

    @property
    def chosen(self) -> Weighed:
        """The plan to build."""
        return self.weighed[0]

    def context(self, target: Target) -> PassContext:
        """Return what passes may know when the chosen plan is built for a target."""
        data, shape = self.evaluation, self.entry.shape
        return PassContext(
            target=target,
            profile=self.profile,
            evaluation=data.for_model(shape) if data else None,
        )


def open_library(where: str) -> tuple[Component, ...]:
    """Return the components of a folder or URL; those of a URL are copied here first.

    Raises:
        LibraryError: There is no such folder, or it holds no component.
    """
    if is_url(where):
        library = Library(Path(tempfile.mkdtemp(prefix="suture-library-")))
        pull(where, library)
    else:
        library = Library(Path(where))
    components = tuple(library)
    if not components:
        raise LibraryError(
            "no such folder, or it holds no component",
            at=Location(where),
            hint="add one with: suture library add MODEL.onnx --name NAME --library FOLDER",
        )
    for component in components:
        library.verify_digest(component)
    return components


def plan_task(
    task: Task, request: Path | None = None, *, records: Records, say: Say
) -> Planned:
    """Search, link, measure and weigh.

    Args:
        task: What is wanted.
        request: A request the plan should suit; without it, the whole evaluation set counts.
        records: Where measurements are kept; accuracy that is there is not measured again.
        say: Told of each stage.
    """
    components = {component.ref: component for component in open_library(task.library)}
    say(f"library: {len(components)} components")
    evaluation = read_evaluation(task.evaluation, task.input.kind) if task.evaluation else None
    data = decode(request, task.input.kind) if request else None
    profile = analyze(data, task.input.kind) if data is not None else None
    sample = _sample(task.input, data, evaluation)
    entry = task.input.bound(sample.shape)
    found = search(replace(task, input=entry), tuple(components.values()))
    say(f"search: {len(found.plans)} candidate plans")
    accuracies = _accuracies(found.plans, components, entry, evaluation, records)
    say("accuracy: " + ("measured end to end" if evaluation else "composed from metrics"))
    models = {plan.digest: link(plan, components, entry) for plan in found.plans}
    models = _promising(models, accuracies, task, records)
    latencies = measure_latency(models, {INPUT: sample}, threads=task.targets[0].threads)
    _record(latencies, models, task, records)
    say(f"latency: {len(models)} plans measured in interleaved rounds")
    estimates = [
        estimate(
            plan,
            models[plan.digest],
            latencies[plan.digest],
            accuracies[plan.digest],
            task.targets[0],
            profile.bucket if profile else None,
        )
        for plan in found.plans
        if plan.digest in models
    ]
    weighed = choose(estimates, task.objective, task.limits, task=str(task.path))
    return Planned(
        task=task,
        components=components,
        entry=entry,
        profile=profile,
        sample=sample,
        evaluation=evaluation,
        weighed=weighed,
        accuracies=accuracies,
        search=found,
        model=models[weighed[0].estimate.plan.digest],
    )


def _accuracies(
    plans: Sequence[Plan],
    components: Mapping[str, Component],
    entry: Port,
    evaluation: EvaluationSet | None,
    records: Records,
) -> dict[str, Accuracy]:
    """Return each plan's accuracy; plans that were never measured are measured now."""
    if evaluation is None:
        return {plan.digest: composed(plan, components) for plan in plans}
    kept = {plan.digest: records.accuracy(plan.digest, evaluation.digest) for plan in plans}
    known = {digest: accuracy for digest, accuracy in kept.items() if accuracy is not None}
    fits = replace(entry, shape=evaluation.inputs.shape[1:])
    unknown = [plan for plan in plans if plan.digest not in known]
    measured = evaluate(unknown, components, fits, evaluation)
    for digest, accuracy in measured.items():
        records.add_accuracy(digest, evaluation.digest, accuracy)
    return {**known, **measured}


def _promising(
    models: Mapping[str, ir.Model],
    accuracies: Mapping[str, Accuracy],
    task: Task,
    records: Records,
) -> dict[str, ir.Model]:
    """Return the plans worth timing: all of a few, the best by the cost model of many."""
    if len(models) <= MEASURED:
        return dict(models)
    past = records.latencies(backend="ort", threads=task.targets[0].threads)
    roofline = Roofline()
    if past:
        rows = np.array([record.work.row for record in past])
        roofline = roofline.fit(rows, np.array([record.median_ms for record in past]))
    expected = roofline.predict(np.array([work(model).row for model in models.values()]))
    rewards = {
        digest: accuracies[digest].overall - task.objective.latency_weight * latency_ms
        for digest, latency_ms in zip(models, expected, strict=True)
    }
    best = sorted(rewards, key=lambda digest: -rewards[digest])[:MEASURED]
    return {digest: models[digest] for digest in best}


def _record(
    latencies: Mapping[str, Latency],
    models: Mapping[str, ir.Model],
    task: Task,
    records: Records,
) -> None:
    records.add_latencies(
        LatencyRecord(
            subject=digest,
            backend="ort",
            target=task.targets[0].name,
            threads=task.targets[0].threads,
            work=work(models[digest]),
            median_ms=latency.median_ms,
            p95_ms=latency.p95_ms,
        )
        for digest, latency in latencies.items()
    )


def _sample(
    port: Port, data: npt.NDArray[Any] | None, evaluation: EvaluationSet | None
) -> npt.NDArray[Any]:
    """Return the given request, else the first of the evaluation set, else seeded numbers."""
    if data is not None:
        return data
    if evaluation is not None:
        return np.asarray(evaluation.inputs[0])
    rng = np.random.default_rng(0)
    low, high = port.range or (0.0, 1.0)
    shape = [dim if isinstance(dim, int) else 1 for dim in port.shape]
    return rng.uniform(low, high, shape).astype(port.dtype)

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
from suture.compiler.library import Library
from suture.compiler.link import link
from suture.compiler.plan.base import INPUT, Plan
from suture.compiler.plan.choose import Weighed, choose
from suture.compiler.plan.estimate import estimate, measure_latency
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
from suture.compiler.task import Task
from suture.errors import LibraryError, Location

Say = Callable[[str], None]


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


def plan_task(task: Task, request: Path | None = None, *, say: Say) -> Planned:
    """Search, link, measure and weigh.

    Args:
        task: What is wanted.
        request: A request the plan should suit; without it, the whole evaluation set counts.
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
    models = {plan.digest: link(plan, components, entry) for plan in found.plans}
    accuracies = _accuracies(found.plans, components, entry, evaluation)
    say("accuracy: " + ("measured end to end" if evaluation else "composed from metrics"))
    latencies = measure_latency(models, {INPUT: sample})
    say("latency: measured in interleaved rounds")
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
) -> dict[str, Accuracy]:
    if evaluation is None:
        return {plan.digest: composed(plan, components) for plan in plans}
    fits = replace(entry, shape=evaluation.inputs.shape[1:])
    return evaluate(plans, components, fits, evaluation)


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

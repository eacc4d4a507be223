"""Plans of the example, linked for its requests, and what their accuracy is measured with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.compiler.link import link
from suture.compiler.plan.evaluate import read_evaluation
from suture.compiler.plan.search import search
from suture.compiler.task import read_task
from suture.driver.planning import open_library

TASK = Path(__file__).parent.parent / "examples" / "digits" / "task.toml"


def linked_plan(name: str) -> tuple[ir.Model, Evaluation]:
    """Return a plan's model, and the evaluation set for it."""
    task = read_task(TASK)
    assert task.evaluation is not None
    data = read_evaluation(task.evaluation, task.input.kind)
    components = {component.ref: component for component in open_library(task.library)}
    entry = task.input.bound(data.inputs.shape[1:])
    plans = search(replace(task, input=entry), tuple(components.values())).plans
    model = link(next(plan for plan in plans if plan.name == name), components, entry)
    evaluation = data.for_model(entry.shape)
    assert evaluation is not None
    return model, evaluation

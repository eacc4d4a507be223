"""Find the pass after which a model's program is no longer right."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from suture.compiler.cost.records import Records
from suture.compiler.plan.base import INPUT
from suture.compiler.target import Target
from suture.compiler.task import Task
from suture.compiler.verify import assert_equal, run_reference
from suture.driver.building import answered_anew
from suture.driver.cases import read_cases
from suture.driver.compiling import expected_answer
from suture.driver.options import Case, Options, Say
from suture.driver.planning import plan_task
from suture.driver.rewriting import FAILED
from suture.driver.trial import Trial
from suture.passes.base import GraphPass, PassContext
from suture.passes.bisect import Bisection, bisect
from suture.passes.failure import FailureFolder


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search for the pass at fault came to.

    Attributes:
        bisection: The pass, if there is one.
        pipeline: The passes that were tried.
        backends: The backends that hold the model before any pass, and so must after each.
        kept: Folder with the model before the pass, or None where there is no such pass.
        hint: How to repeat what fails with what was kept.
    """

    bisection: Bisection
    pipeline: tuple[GraphPass, ...]
    backends: tuple[str, ...]
    kept: Path | None
    hint: str | None


def bisect_task(
    task: Task,
    request: Path | None,
    out: Path,
    *,
    options: Options,
    records: Records,
    say: Say,
) -> Found:
    """Plan a task, and find what breaks the chosen plan on its first target.

    Raises:
        SutureError: See ``plan_task`` and ``find_culprit``.
    """
    planned = plan_task(task, request, records=records, say=say)
    return find_culprit(
        planned.model,
        [Case(inputs={INPUT: planned.sample}, expected=expected_answer(planned))],
        task.targets[0],
        out,
        options=options,
        context=planned.context(task.targets[0]),
        say=say,
    )


def bisect_model(
    path: Path,
    target: Target,
    out: Path,
    *,
    bind: Mapping[str, Sequence[int]],
    inputs: Path | None,
    options: Options,
    say: Say,
) -> Found:
    """Find what breaks one model; arguments as those of ``compile_model``.

    Raises:
        SutureError: See ``read_cases`` and ``find_culprit``.
    """
    model, cases = read_cases(path, bind=bind, inputs=inputs)
    context = PassContext(target=target)
    return find_culprit(model, cases, target, out, options=options, context=context, say=say)


def find_culprit(
    model: ir.Model,
    cases: Sequence[Case],
    target: Target,
    out: Path,
    *,
    options: Options,
    context: PassContext,
    say: Say,
) -> Found:
    """Bisect the pipeline: ONNX Runtime's answer, and what the backends make of it, decide.

    Args:
        model: The linked model; left as it is.
        cases: Requests that it must answer right.
        target: Where it is to run.
        out: Folder in which the model before the culprit is kept.
        options: What the user asked for; of ``backend`` auto, every backend that holds the
            model before any pass must hold it after each.
        context: What passes may know, but for the cost of nodes.
        say: Told of each check.

    Raises:
        SutureError: The model is broken before any pass.
    """
    passes = options.rewriting.passes
    context = replace(context, cost=options.cost_of(target))
    judge = _Judge(cases, target, options, say)
    bisection = bisect(model, passes, judge, context)
    culprit, kept, hint = bisection.culprit, None, None
    if culprit is not None:
        folder = FailureFolder(out / FAILED, cases[0].inputs)
        spec = str(culprit.graph_pass)
        error = folder.keep(culprit.before, spec, list(map(str, passes)), culprit.error)
        kept, hint = folder.path, error.hint
    return Found(
        bisection=bisection,
        pipeline=passes,
        backends=judge.backends,
        kept=kept,
        hint=hint,
    )


class _Judge:
    """Says whether a model still is what it was, and remembers who held it at first."""

    def __init__(
        self, cases: Sequence[Case], target: Target, options: Options, say: Say
    ) -> None:
        self._cases, self._target, self._options, self._say = cases, target, options, say
        self.backends: tuple[str, ...] = ()

    def __call__(self, model: ir.Model, passes: Sequence[GraphPass]) -> None:
        cases = self._cases
        if all(each.exact and not each.narrows for each in passes):
            for case in cases:
                answers = run_reference(model, case.inputs)
                assert_equal(case.expected, answers, what="ONNX Runtime")
        else:  # they answer otherwise by design; backends must agree with what they answer
            cases = answered_anew(model, cases)
        with tempfile.TemporaryDirectory(prefix="suture-bisect-") as folder:
            trial = Trial(model.clone(), cases, self._target, Path(folder), self._options)
            trial.compile(lambda _: None)
        self.backends = self.backends or tuple(trial.compiled)
        for name in self.backends:
            if name in trial.failures:
                raise trial.failures[name]
        self._say(f"sound after {len(passes)} passes: {', '.join(self.backends)}")

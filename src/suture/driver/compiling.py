"""The main job: a task or a model to packages and a report."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from suture.codegen.archive import written_beside
from suture.codegen.deployment import deployment
from suture.codegen.document import Identity, image_entry
from suture.codegen.flavour import check_image, check_wish
from suture.codegen.recipe import Source
from suture.compiler.cost.records import Records
from suture.compiler.link import OUTPUT
from suture.compiler.manifest import model_digest
from suture.compiler.model import model_version
from suture.compiler.plan.base import INPUT
from suture.compiler.plan.execute import Executor
from suture.compiler.target import Target
from suture.compiler.task import Limits, Task
from suture.compiler.verify import Arrays
from suture.driver.building import Built, build
from suture.driver.cases import read_cases
from suture.driver.options import Case, Options, Say
from suture.driver.planning import Planned, plan_task
from suture.driver.recipes import task_sources
from suture.errors import Location, PackageError
from suture.passes.base import PassContext


@dataclass(frozen=True, kw_only=True)
class Compilation:
    """Packages and how they came about.

    Attributes:
        name: The task's or the model's name.
        planned: How the plan was found, or None for a model without a task.
        built: One for each target.
        seconds: Time by phase, planning included.
    """

    name: str
    planned: Planned | None
    built: tuple[Built, ...]
    seconds: Mapping[str, float]


def compile_task(
    task: Task,
    request: Path | None,
    out: Path,
    *,
    options: Options,
    records: Records,
    say: Say,
) -> Compilation:
    """Plan a task and build the chosen plan for every target.

    Raises:
        SutureError: Something on the way does not work; see ``plan_task`` and ``build``.
    """
    began = time.perf_counter()
    check_wishes(options, task.targets, image=image_entry(task.input) is not None)
    planned = plan_task(task, request, records=records, say=say)
    plan = planned.chosen.estimate.plan
    say(f"plan: {plan.name}")
    expected = expected_answer(planned)
    sources = task_sources(task, request, planned)
    seconds = {"plan": time.perf_counter() - began}
    built = []
    for target in task.targets:
        each = build(
            planned.model.clone(),
            [Case(inputs={INPUT: planned.sample}, expected=expected)],
            Identity(
                name=task.name,
                version=plan.digest[:12],
                plan=(plan.name, plan.digest),
                entry=planned.entry,
                sources=sources,
            ),
            target,
            out,
            options=options,
            context=planned.context(target),
            records=records,
            say=say,
        )
        check_limits(each, task.limits, str(task.path))
        built.append(each)
    return _finish(task.name, planned, built, seconds, out)


def compile_model(
    path: Path,
    targets: Sequence[Target],
    out: Path,
    *,
    bind: Mapping[str, Sequence[int]],
    inputs: Path | None,
    options: Options,
    records: Records,
    say: Say,
) -> Compilation:
    """Package one model with no task.

    Args:
        path: The ONNX file.
        targets: Where it will run.
        out: Folder of the archives.
        bind: Sizes of free dimensions; for several of one there is a program each.
        inputs: An ``.npz`` of inputs by name, or an ``.npy`` of the only one, to verify and
            time with; without it, and for several sizes, seeded numbers.
        options: What the user asked for.
        records: Where latencies are kept.
        say: Told of each stage.
    """
    began = time.perf_counter()
    check_wishes(options, targets)
    model, cases = read_cases(path, bind=bind, inputs=inputs)
    version = model_version(model)
    name = re.sub(r"[^a-z0-9]+", "-", path.stem.lower()).strip("-") or "model"
    sources = (Source(kind="model", name=path.name, digest=model_digest(path)),)
    seconds = {"load": time.perf_counter() - began}
    built = [
        build(
            model.clone(),
            cases,
            Identity(name=name, version=version, sources=sources),
            target,
            out,
            options=options,
            context=PassContext(target=target),
            records=records,
            say=say,
        )
        for target in targets
    ]
    return _finish(name, None, built, seconds, out)


def check_wishes(options: Options, targets: Sequence[Target], *, image: bool = False) -> None:
    """Raise ``PackageError`` where a package that is asked for cannot be made."""
    for target in targets:
        if "zip" in options.forms:
            check_wish(options.runtime, target, image=image)
        if "oci" in options.forms:
            check_image(options.runtime, options.backend, target, image=image)


def expected_answer(planned: Planned) -> Arrays:
    """Return what the chosen plan's components answer, one after the other, to the sample."""
    executor = Executor(planned.components, planned.entry, [planned.sample])
    return {OUTPUT: executor.run(planned.chosen.estimate.plan)[0]}


def check_limits(built: Built, limits: Limits, task: str) -> None:
    """Raise ``PackageError`` where a package is larger than the task allows."""
    most = limits.package_mb
    for written in built.packages:
        size = written.nbytes / 2**20
        if most is not None and size > most:
            for each in built.packages:
                each.path.unlink()
            raise PackageError(
                f"package_mb = {most:g} is missed: {written.path.name} of the backend "
                f"{written.backend} has {size:.1f} MB",
                at=Location(task, "limits.package_mb"),
                hint="relax package_mb, or force the smaller backend with --backend tvm",
            )


def _finish(
    name: str,
    planned: Planned | None,
    built: Sequence[Built],
    seconds: dict[str, float],
    out: Path,
) -> Compilation:
    """Write the deployment beside the packages and add the times up."""
    for each in built:
        suffix = "" if len(built) == 1 else f"-{each.written.target.name}"
        for written in each.packages:
            if written.form == "zip":
                made = deployment(written, suffix)
                with written_beside(out / made.name) as partial:
                    partial.write_text(made.text, encoding="utf-8")
        for phase, spent in each.seconds.items():
            seconds[phase] = seconds.get(phase, 0.0) + spent
    return Compilation(name=name, planned=planned, built=tuple(built), seconds=seconds)

"""What a package is made from and how it comes about, for its SBOM and provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from suture.codegen.archive import file_digest
from suture.codegen.backend.base import Compiled
from suture.codegen.document import Identity
from suture.codegen.emit.rule import GROUP as SCHEDULES
from suture.codegen.recipe import Kind, Option, Recipe, Rewrite, Source
from suture.compiler.cost.plugin import GROUP as COST_MODELS
from suture.compiler.discovery import discover
from suture.compiler.task import Task
from suture.driver.planning import Planned
from suture.passes.manager import PassRecord
from suture.passes.pipeline import GROUP


def recipe_of(
    identity: Identity,
    options: Mapping[str, Option],
    passes: Sequence[PassRecord],
    compiled: Compiled,
) -> Recipe:
    """Return how a package comes about, as far as it is the same on every machine."""
    installed = discover(GROUP)
    names = [each.name.partition("{")[0] for each in passes]
    points = [installed[name] for name in names if name in installed]
    model = str(options["cost_model"]).partition("{")[0]
    points += [each for name, each in discover(COST_MODELS).items() if name == model]
    points += discover(SCHEDULES).values()
    dists = [point.dist for point in points]
    return Recipe(
        version=identity.version,
        sources=identity.sources,
        options=options,
        rewrites=tuple(
            Rewrite(each.name, each.nodes_before, each.nodes_after) for each in passes
        ),
        schedules={
            kernel: choice.trials[0].schedule for kernel, choice in compiled.choices.items()
        },
        plugins={dist.name: dist.version for dist in dists if dist and dist.name != "suture"},
    )


def task_sources(task: Task, request: Path | None, planned: Planned) -> tuple[Source, ...]:
    """Return the plan's model, its components, and the files that the plan was chosen by."""
    plan = planned.chosen.estimate.plan
    refs = sorted({step.ref for step in plan.steps if not step.adapter})
    decisive: tuple[tuple[Kind, Path | None], ...] = (
        ("task", task.path),
        ("evaluation", task.evaluation),
        ("request", request),
    )
    return (
        Source(kind="model", name=task.name, digest=plan.digest),
        *(
            Source(
                kind="component",
                name=each.name,
                version=each.version,
                digest=each.digest,
                licence=each.licence,
            )
            for each in map(planned.components.__getitem__, refs)
        ),
        *(
            Source(kind=kind, name=path.name, digest=file_digest(path))
            for kind, path in decisive
            if path is not None
        ),
    )

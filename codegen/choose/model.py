"""Choosing by the cost model: what it expects to be the fastest, nothing being run."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import ClassVar

import numpy as np

from suture.codegen.choose.base import (
    Choice,
    Question,
    Schedule,
    Trial,
    first_to_build,
    spec_of,
)
from suture.compiler.cost.model import KernelModel, preferring
from suture.compiler.cost.plugin import KernelCost

MODEL = "cost-model.npz"
"""The model that ships, and in a folder of records the one that was learned there."""


@dataclass(frozen=True)
class ByModel:
    """Takes the schedule of the least expected time, or the formula's where nothing is known.

    Attributes:
        model: The cost model.
    """

    model: KernelCost

    def rank(self, question: Question) -> tuple[Schedule, ...]:
        """Return the schedules by expected time, the fastest first.

        Where the model does not know all rules, the formula says which rule goes first, and
        the model orders that rule's schedules, if it knows it.
        """
        expected = self._expected(question)
        times = np.array(list(expected.values()))
        ranks = np.array([each != question.schedules[0] for each in expected])
        order = np.argsort(preferring(times, ranks), kind="stable")
        known = [list(expected)[place] for place in order]
        return (*known, *(each for each in question.schedules if each not in expected))

    def choose(self, question: Question) -> Choice:
        """Return the schedule of the least expected time."""
        expected = self._expected(question)
        unknown = sorted({each.name for each in question.schedules if each not in expected})
        notes = []
        if unknown and len(question.schedules) > 1:
            told = ", ".join(unknown)
            notes.append(f"the cost model has not learned {told} for this processor")

        def trial(schedule: Schedule) -> Trial:
            return Trial(schedule=spec_of(schedule), predicted_us=expected.get(schedule))

        return first_to_build(
            question,
            self.rank(question),
            by="model" if expected else "formula",
            trial=trial,
            notes=notes,
        )

    def _expected(self, question: Question) -> dict[Schedule, float]:
        """Return the microseconds of the schedules that can be compared."""
        facts = {each: question.facts(each) for each in question.schedules}
        known = {each: fact for each, fact in facts.items() if fact and self.model.knows(fact)}
        if len(known) < len(facts):
            rule = question.schedules[0].name
            known = {each: fact for each, fact in known.items() if each.name == rule}
        if not known:
            return {}
        times = map(float, self.model.predict(list(known.values())))
        return dict(zip(known, times, strict=True))


@dataclass(frozen=True)
class BoostedTrees:
    """Boosted trees over analytic features: this machine's where it has tuned, else ours."""

    name: ClassVar[str] = "boosted-trees"

    def open(self, learned: Path | None) -> KernelModel:
        """Return the model in a file, where there is one, else the one that ships."""
        return cost_model(learned)


BOOSTED_TREES = BoostedTrees()


def cost_model(learned: Path | None) -> KernelModel:
    """Return the model in a file, where there is one, else the one that ships.

    Raises:
        SutureError: The file there is not a model of this version.
    """
    if learned and learned.is_file():
        return KernelModel.load(learned)
    with as_file(files("suture.compiler.cost") / MODEL) as shipped:
        return KernelModel.load(shipped)

"""Choosing by the cost model: what it expects to be the fastest, nothing being run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from suture.codegen.choose.base import (
    BY_FORMULA,
    Choice,
    Question,
    Schedule,
    Trial,
    first_to_build,
    spec_of,
)
from suture.compiler.cost.model import KernelModel

MODEL = "cost-model.npz"
"""The model that ships, and in a folder of records the one that was learned there."""

MARGIN = 0.03
"""A schedule must be expected to be faster by this part to go before a more promising one."""


@dataclass(frozen=True)
class ByModel:
    """Takes the schedule of the least expected time, or the formula's where nothing is known.

    Attributes:
        model: The cost model.
    """

    model: KernelModel

    def rank(self, question: Question) -> tuple[Schedule, ...]:
        """Return the schedules by expected time, the fastest first."""
        expected = self._expected(question)
        if expected is None:
            return question.schedules
        first = question.schedules[0]
        handicap = {each: time * (1 + MARGIN) for each, time in expected.items()}
        handicap[first] = expected[first]
        return tuple(sorted(question.schedules, key=lambda each: handicap[each]))

    def choose(self, question: Question) -> Choice:
        """Return the schedule of the least expected time."""
        expected = self._expected(question)
        if expected is None:
            choice = BY_FORMULA.choose(question)
            if len(question.schedules) < 2:
                return choice
            rules = ", ".join(sorted({each.name for each in question.schedules}))
            note = f"the cost model has not learned {rules} for this processor"
            return replace(choice, notes=(*choice.notes, note))
        known = expected

        def trial(schedule: Schedule) -> Trial:
            return Trial(schedule=spec_of(schedule), predicted_us=known[schedule])

        return first_to_build(question, self.rank(question), by="model", trial=trial)

    def _expected(self, question: Question) -> dict[Schedule, float] | None:
        """Return the microseconds of each schedule, or None where one is not known."""
        facts = [each for each in map(question.facts, question.schedules) if each is not None]
        known = len(facts) == len(question.schedules) and all(map(self.model.knows, facts))
        if not known or not facts:
            return None
        times = map(float, self.model.predict(facts))
        return dict(zip(question.schedules, times, strict=True))


def cost_model(learned: Path | None) -> KernelModel:
    """Return the model in a file, where there is one, else the one that ships.

    Raises:
        SutureError: The file there is not a model of this version.
    """
    if learned and learned.is_file():
        return KernelModel.load(learned)
    with as_file(files("suture.compiler.cost") / MODEL) as shipped:
        return KernelModel.load(shipped)

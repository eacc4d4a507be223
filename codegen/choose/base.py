"""What choosing is: of the schedules that compute a kernel, one is taken, with the reasons."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy.typing as npt

from suture.codegen.choose.facts import facts_of
from suture.codegen.schedule.base import Epilogue, Processor
from suture.codegen.schedule.dot import Finish
from suture.compiler.cost.features import Facts
from suture.compiler.spec import format_spec
from suture.errors import BackendError, Location

logger = logging.getLogger(__name__)

Constants = Callable[[Any], Sequence[npt.NDArray[Any]]]
By = Literal["formula", "model", "measured"]


class Schedule(Protocol):
    """A frozen value of some rule: one way to compute a kernel."""

    name: ClassVar[str]

    def kernel(self, shape: Any, epilogue: Any, processor: Processor) -> Any:
        """Return the scheduled kernel, a ``PrimFunc`` whose last parameter is written."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Schedules that compute the same kernel; questions about equal kernels are equal.

    Attributes:
        schedules: The most promising first by formula; they may be of several rules, which
            read and write the same layouts.
        shape: What the rules call the kernel's shape.
        epilogue: What is done to a sum before it is written.
        processor: What the kernel is for.
        constants: Returns what a schedule's kernel reads from its second parameter on, as
            far as it is constant and its form depends on the schedule.
    """

    schedules: tuple[Schedule, ...]
    shape: Hashable
    epilogue: Epilogue | Finish
    processor: Processor
    constants: Constants = field(default=lambda _: (), compare=False, repr=False)

    @property
    def subject(self) -> str:
        """What the kernel computes, as text."""
        return f"{self.shape} {self.epilogue}"

    def facts(self, schedule: Schedule) -> Facts | None:
        """Return what the cost model is told of one of the schedules."""
        return facts_of(schedule, self.shape, self.epilogue, self.processor)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A schedule that was weighed.

    Attributes:
        schedule: As a spec.
        microseconds: What a run took on this machine, the second least of some rounds;
            None if it was not measured.
        predicted_us: What the cost model expects, or None if it was not asked.
        rank: Its place in the rules' order, from 0.
        facts: What the cost model is told of it, or None where it knows nothing of the rule.
    """

    schedule: str
    microseconds: float | None = None
    predicted_us: float | None = None
    rank: int = 0
    facts: Facts | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The schedule that a kernel got, and why.

    Attributes:
        subject: What the kernel computes, as text.
        schedule: The schedule.
        kernel: Its kernel, built.
        by: What decided.
        trials: What was weighed, the taken one first, then the nearest rivals.
        notes: What was discarded, or could not be done, and why.
    """

    subject: str
    schedule: Schedule
    kernel: Any = field(compare=False, repr=False)
    by: By
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()


class Chooser(Protocol):
    """Answers questions; asked once about equal kernels."""

    def choose(self, question: Question) -> Choice:
        """Return one of the schedules.

        Raises:
            BackendError: None of them can be built.
        """


class Ranking(Chooser, Protocol):
    """Orders the schedules of a question without running them, and takes the first."""

    def rank(self, question: Question) -> tuple[Schedule, ...]:
        """Return all schedules, the most promising first."""


@dataclass(frozen=True)
class ByFormula:
    """Takes the rules' word: the first schedule that can be built."""

    def rank(self, question: Question) -> tuple[Schedule, ...]:
        """Return the schedules in the order of the rules."""
        return question.schedules

    def choose(self, question: Question) -> Choice:
        """Return the most promising schedule by formula."""
        return first_to_build(question, question.schedules, by="formula")


BY_FORMULA = ByFormula()


def first_to_build(
    question: Question,
    ranked: Sequence[Schedule],
    *,
    by: By,
    trial: Callable[[Schedule], Trial] | None = None,
    notes: Iterable[str] = (),
) -> Choice:
    """Return the first schedule whose kernel can be made; those before it leave a note.

    Args:
        question: What the schedules are for.
        ranked: The most promising first.
        by: Who ranked them.
        trial: Says what is known of a schedule.
        notes: What went before.

    Raises:
        BackendError: None can be built.
    """
    told = list(notes)
    describe = trial or (lambda schedule: Trial(schedule=spec_of(schedule)))
    for position, schedule in enumerate(ranked):
        try:
            kernel = schedule.kernel(question.shape, question.epilogue, question.processor)
        except Exception as error:
            told.append(discarded(schedule, error))
            logger.warning("%s: %s", question.shape, told[-1])
            continue
        rivals = ranked[position : position + SHOWN]
        return Choice(
            subject=question.subject,
            schedule=schedule,
            kernel=kernel,
            by=by,
            trials=tuple(map(describe, rivals)),
            notes=tuple(told),
        )
    raise none_left(question, told)


SHOWN = 4
"""Schedules that a choice without measurements names, the taken one included."""


def none_left(question: Question, notes: Sequence[str]) -> BackendError:
    """Return the error of a kernel that no schedule computes."""
    return BackendError(
        f"no schedule computes it: {'; '.join(notes) or 'there is none'}",
        at=Location(str(question.shape)),
        hint="use the backend ort",
    )


def spec_of(schedule: Schedule) -> str:
    """Return a schedule as text, for example ``direct-conv{rows=4,columns=16}``."""
    return format_spec(schedule.name, schedule)


def discarded(schedule: Schedule, error: BaseException) -> str:
    """Return the note of a schedule that cannot be built."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = lines[-1] if lines else ""
    return f"{spec_of(schedule)} discarded: {type(error).__name__} {told}".rstrip()

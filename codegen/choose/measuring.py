"""Choosing by measuring: build schedules, run them in turn, take the fastest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace

import numpy as np
import tvm

from suture.codegen.choose.base import (
    BY_FORMULA,
    Choice,
    Question,
    Ranking,
    Schedule,
    Trial,
    none_left,
    spec_of,
)
from suture.codegen.choose.bench import Alone, Bench, Candidate, runs_here

ROUNDS = 9
TIE = 0.98
"""What takes more than this part of a more promising one's time is no faster: it is noise."""


@dataclass(frozen=True)
class ByMeasuring:
    """Measures the most promising schedules, the best one of each rule among them.

    Attributes:
        target: What the kernels are for.
        ranking: Who says what is promising, and decides where this machine lacks instructions
            of the target.
        top: How many to measure.
        alone: What to be in while the clock runs, for who shares a machine.
    """

    target: tvm.target.Target
    ranking: Ranking = BY_FORMULA
    top: int = 3
    alone: Alone = nullcontext

    def choose(self, question: Question) -> Choice:
        """Return the fastest of a few schedules; those that fail make room for the next."""
        unmeasured = without_measuring(question, self.target, self.ranking)
        if unmeasured:
            return unmeasured
        race = Race(Bench(question, self.target, self.alone), self.ranking.rank(question))
        while race.waiting and len(race.times) < self.top:
            race.enter(race.waiting[: self.top - len(race.times)])
        race.enter(race.firsts_of_rules())
        return race.finish()


@dataclass(frozen=True)
class BySearch:
    """Measures more and more of the space, around the fastest schedule and elsewhere.

    A round enters neighbours of the fastest so far, the most promising of the others, and
    one drawn by chance, as evolutionary search does over a space that can be listed.

    Attributes:
        target: What the kernels are for.
        ranking: Who says what is promising, and decides where this machine lacks instructions
            of the target.
        trials: Most schedules to measure for a kernel.
        seed: Of the draws.
        alone: What to be in while the clock runs.
    """

    target: tvm.target.Target
    ranking: Ranking = BY_FORMULA
    trials: int = 24
    seed: int = 0
    alone: Alone = nullcontext

    def choose(self, question: Question) -> Choice:
        """Return the fastest schedule found."""
        unmeasured = without_measuring(question, self.target, self.ranking)
        if unmeasured:
            return unmeasured
        rng = np.random.default_rng(self.seed)
        race = Race(Bench(question, self.target, self.alone), self.ranking.rank(question))
        race.enter(race.waiting[: min(BATCH, self.trials)])
        race.enter(race.firsts_of_rules())
        while race.waiting and race.entered < self.trials:
            race.enter(self._next(race, rng)[: self.trials - race.entered])
        return race.finish()

    def _next(self, race: Race, rng: np.random.Generator) -> list[Schedule]:
        near = [each for each in race.waiting if race.best and differs_in_one(each, race.best)]
        drawn = [race.waiting[int(rng.integers(len(race.waiting)))]]
        wanted = [*near[: BATCH - 2], race.waiting[0], *drawn]
        return list(dict.fromkeys(wanted))


BATCH = 4
"""Schedules that are in memory, with packed weights, at the same time."""


def without_measuring(
    question: Question, target: tvm.target.Target, ranking: Ranking
) -> Choice | None:
    """Return the choice where there is nothing to measure, or no way to."""
    if len(question.schedules) < 2:
        return ranking.choose(question)
    if runs_here(target):
        return None
    choice = ranking.choose(question)
    note = f"not measured: this machine does not run code for {target.attrs['mcpu']}"
    return replace(choice, notes=(*choice.notes, note))


def differs_in_one(mine: Schedule, theirs: Schedule) -> bool:
    """Whether two schedules of one rule differ in one field only."""
    if type(mine) is not type(theirs):
        return False
    names = [each.name for each in fields(mine)]  # type: ignore[arg-type]
    different = [name for name in names if getattr(mine, name) != getattr(theirs, name)]
    return len(different) == 1


def typical(times: Sequence[float]) -> float:
    """Return the second least time: what disturbs a run can only make it longer."""
    return sorted(times)[1]


class Race:
    """The schedules of one question, entered bit by bit.

    Args:
        bench: Builds and runs the schedules of a question.
        ranked: All schedules, the most promising first.

    Attributes:
        waiting: What was not entered yet, the most promising first.
        entered: How many were entered, those that failed included.
        times: Microseconds of those that ran.
    """

    def __init__(self, bench: Bench, ranked: Sequence[Schedule]) -> None:
        self._bench, self._question, self._ranked = bench, bench.question, ranked
        self._leader: Candidate | None = None
        self.waiting = list(ranked)
        self.entered = 0
        self.times: dict[Schedule, float] = {}

    @property
    def best(self) -> Schedule | None:
        """The fastest schedule so far."""
        return self._leader.schedule if self._leader else None

    def firsts_of_rules(self) -> list[Schedule]:
        """Return the most promising schedule of each rule of which none was entered."""
        rules = {each.name for each in self._ranked if each not in self.waiting}
        firsts = {each.name: each for each in reversed(self.waiting) if each.name not in rules}
        return list(firsts.values())

    def enter(self, schedules: Sequence[Schedule]) -> None:
        """Build some schedules and run them in turn with the fastest one so far."""
        self.waiting = [each for each in self.waiting if each not in schedules]
        self.entered += len(schedules)
        new = self._bench.build(schedules)
        if not new:
            return
        leader = self._leader or new[0]
        field = [leader, *(each for each in new if each is not leader)]
        rounds = self._bench.time(field, ROUNDS)
        for candidate, times in zip(field, rounds, strict=True):
            known = self.times.get(candidate.schedule, np.inf)
            self.times[candidate.schedule] = min(known, typical(times))
        bar = min(self.times[each.schedule] for each in field) / TIE
        close = [each for each in field if self.times[each.schedule] <= bar]
        self._leader = min(close, key=lambda each: self._ranked.index(each.schedule))

    def finish(self) -> Choice:
        """Return the fastest schedule, with the times of all.

        Raises:
            BackendError: None could be built.
        """
        if self._leader is None:
            raise none_left(self._question, self._bench.notes)
        taken = self._leader.schedule
        rivals = sorted(self.times.items(), key=lambda each: (each[0] != taken, each[1]))
        ranks = {each: rank for rank, each in enumerate(self._question.schedules)}
        return Choice(
            subject=self._question.subject,
            schedule=taken,
            kernel=self._leader.kernel,
            by="measured",
            trials=tuple(
                Trial(
                    schedule=spec_of(schedule),
                    microseconds=spent,
                    rank=ranks[schedule],
                    facts=self._question.facts(schedule),
                )
                for schedule, spent in rivals
            ),
            notes=tuple(self._bench.notes),
        )

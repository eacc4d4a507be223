"""Kernels built and timed in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import tvm
import tvm_ffi

from suture.codegen.choose.base import Question, Schedule, discarded, spec_of
from suture.codegen.pipeline import PIPELINE
from suture.compiler.verify import RTOL

Alone = Callable[[], AbstractContextManager[None]]
SEED = 0
LEAST_US = 500.0
"""Shorter kernels run several times for one reading of the clock."""


def runs_here(target: tvm.target.Target) -> bool:
    """Whether this machine has every instruction that LLVM may use for a target.

    Of the features of a processor, those count that LLVM can detect: the others tell it
    what is fast, not what is there.
    """
    detect = tvm_ffi.get_global_func("tvm.codegen.llvm.GetHostCPUFeatures")
    here = {str(name): bool(has) for name, has in detect().items()}
    arch = str(target.attrs["mtriple"]).partition("-")[0]
    host = str(tvm.target.codegen.llvm_get_system_triple()).partition("-")[0]
    if arch != host or not tvm.target.codegen.llvm_is_valid_cpu(
        str(target.attrs["mcpu"]), str(target.attrs["mtriple"])
    ):
        return False
    needed = map(str, tvm.target.codegen.llvm_get_cpu_features(target))
    return all(here.get(name, True) for name in needed)


@dataclass(frozen=True, eq=False)
class Candidate:
    """A schedule, ready to run.

    Attributes:
        schedule: The schedule.
        kernel: Its kernel.
        library: The kernel as machine code.
        arguments: What it reads and, last, what it writes.
    """

    schedule: Schedule
    kernel: Any
    library: Any
    arguments: Sequence[Any]

    def answer(self) -> npt.NDArray[Any]:
        """Run once; return what was written."""
        self.library["main"](*self.arguments)
        return np.array(self.arguments[-1].numpy())


@dataclass
class Bench:
    """Builds, checks and times the schedules of one question.

    Attributes:
        question: The question.
        target: TVM's description of this machine, at most.
        alone: What to be in while the clock runs.
        notes: Why schedules were discarded.
        right: The answer that all must give, once it is known.
    """

    question: Question
    target: tvm.target.Target
    alone: Alone = nullcontext
    notes: list[str] = field(default_factory=list)
    right: Any = None

    def build(self, schedules: Sequence[Schedule]) -> list[Candidate]:
        """Return those of some schedules that can be built and give the right answer.

        All get the same numbers. Right is what most schedules of the first call answer; of
        equally many, what the more promising ones do.
        """
        answers: dict[Candidate, npt.NDArray[Any]] = {}
        for schedule in schedules:
            try:
                candidate = self._candidate(schedule)
                answers[candidate] = candidate.answer()
            except Exception as error:
                self.notes.append(discarded(schedule, error))
        if self.right is None and answers:
            given = list(answers.values())
            votes = [sum(same(mine, theirs) for theirs in given) for mine in given]
            self.right = given[votes.index(max(votes))]
        kept = []
        for candidate, answer in answers.items():
            if same(answer, self.right):
                kept.append(candidate)
            else:
                self.notes.append(
                    f"{spec_of(candidate.schedule)} discarded: its answer is another one"
                )
        return kept

    def time(self, candidates: Sequence[Candidate], rounds: int) -> list[tuple[float, ...]]:
        """Return microseconds of a run of each candidate in each round, all in turn.

        Each round goes through them in an order of its own: what disturbs the machine at
        regular times does not always meet the same one.
        """
        timers = [self._timer(candidate) for candidate in candidates]
        times: list[list[float]] = [[] for _ in candidates]
        with self.alone():
            for turn in range(rounds):
                order = np.random.default_rng((SEED, turn)).permutation(len(candidates))
                for which in order:
                    reading = timers[which](*candidates[which].arguments)
                    times[which].append(float(reading.mean) * 1e6)
        return [tuple(each) for each in times]

    def _timer(self, candidate: Candidate) -> Any:
        once = candidate.library.time_evaluator("main", tvm.cpu(), number=1)
        spent = once(*candidate.arguments).mean * 1e6
        number = max(1, math.ceil(LEAST_US / max(spent, 0.1)))
        return candidate.library.time_evaluator("main", tvm.cpu(), number=number)

    def _candidate(self, schedule: Schedule) -> Candidate:
        question = self.question
        kernel = schedule.kernel(question.shape, question.epilogue, question.processor)
        named = kernel.with_attr("global_symbol", "main")
        module = tvm.IRModule({"main": named})
        library = tvm.tirx.build(module, target=self.target, pipeline=PIPELINE)
        arrays = [
            numbers(parameter, np.random.default_rng((SEED, position)))
            for position, parameter in enumerate(kernel.params)
        ]
        constants = question.constants(schedule)
        arrays[1 : 1 + len(constants)] = constants
        return Candidate(schedule, kernel, library, [tvm.runtime.tensor(a) for a in arrays])


def numbers(parameter: Any, rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return numbers for a kernel's parameter, small enough for any element type."""
    shape = tuple(map(int, parameter.shape))
    dtype = np.dtype(str(parameter.dtype))
    if dtype.kind == "f":
        return rng.uniform(-1, 1, shape).astype(dtype)
    return rng.integers(0, 4, shape).astype(dtype)


def same(mine: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> bool:
    """Whether two answers are equal but for rounding, and not finite in the same places."""
    finite = np.isfinite(theirs)
    if mine.shape != theirs.shape or not np.array_equal(np.isfinite(mine), finite):
        return False
    scale = np.abs(theirs[finite]).max(initial=np.finfo(np.float32).tiny)
    gap = np.abs(mine[finite].astype(np.float64) - theirs[finite])
    return bool(gap.max(initial=0.0) <= RTOL * scale)

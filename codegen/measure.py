"""Time programs against each other in one process."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from suture.codegen.backend.base import Array, Compiled, Kernel, Run

FEWEST_ROUNDS, MOST_ROUNDS = 7, 101


@dataclass(frozen=True)
class Timings:
    """Times of programs that ran in turn, one run of each in a round.

    Attributes:
        rounds_ms: For each program, milliseconds of its run in each round.
    """

    rounds_ms: Mapping[str, tuple[float, ...]]

    @property
    def median_ms(self) -> dict[str, float]:
        """The median of each program, in milliseconds."""
        return {name: statistics.median(times) for name, times in self.rounds_ms.items()}

    @property
    def fastest(self) -> str:
        """The program of the least median."""
        medians = self.median_ms
        return min(medians, key=lambda name: medians[name])

    def ratio(self, name: str, peer: str) -> float:
        """Median over the rounds of one program's time by another's; below 1 it is faster.

        Both runs of a round see the same machine, so noise that lasts longer than a round
        cancels out.
        """
        pairs = zip(self.rounds_ms[name], self.rounds_ms[peer], strict=True)
        return statistics.median(mine / theirs for mine, theirs in pairs)


@runtime_checkable
class Profiles(Protocol):
    """A program that can time its own kernels."""

    def profile(self, inputs: Mapping[str, Array]) -> npt.NDArray[np.uint64]:
        """Run once; return the nanoseconds of each kernel call, in order."""


@runtime_checkable
class Traces(Protocol):
    """A program that knows only when it runs which kernels it has."""

    def trace(self, inputs: Mapping[str, Array], *, rounds: int) -> tuple[Kernel, ...]:
        """Run; return the kernels with their median times."""


def measure(
    runs: Mapping[str, Run], inputs: Mapping[str, Array], *, rounds: int = 21, warmup: int = 3
) -> Timings:
    """Run every program once a round, and begin each round with another one.

    Args:
        runs: Programs that take the same inputs, by name.
        inputs: Arrays by input name.
        rounds: Timed rounds, at least 1.
        warmup: Rounds before those, not timed.

    Raises:
        ValueError: No round is asked for.
    """
    if rounds < 1:
        raise ValueError("rounds must be at least 1")
    names = list(runs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-warmup, rounds):
        start = turn % len(names) if names else 0
        for name in names[start:] + names[:start]:
            began = time.perf_counter_ns()
            runs[name](inputs)
            spent = (time.perf_counter_ns() - began) / 1e6
            if turn >= 0:
                times[name].append(spent)
    return Timings({name: tuple(spent) for name, spent in times.items()})


def measure_for(
    seconds: float, runs: Mapping[str, Run], inputs: Mapping[str, Array]
) -> Timings:
    """Measure as many rounds as fit into a time, within bounds that make a fair median.

    Args:
        seconds: How long to measure.
        runs: Programs that take the same inputs, by name.
        inputs: Arrays by input name.
    """
    once = measure(runs, inputs, rounds=1, warmup=1)
    spent_ms = sum(sum(times) for times in once.rounds_ms.values())
    rounds = int(np.clip(seconds * 1e3 / spent_ms, FEWEST_ROUNDS, MOST_ROUNDS))
    return measure(runs, inputs, rounds=rounds)


@contextmanager
def pinned(threads: int) -> Iterator[None]:
    """Stay on as many processors as there are threads, the last of those allowed.

    Threads that begin in the block stay there as well.

    Raises:
        ValueError: This process may not use as many.
    """
    allowed = os.sched_getaffinity(0)
    if not 1 <= threads <= len(allowed):
        raise ValueError(f"{threads} of {len(allowed)} processors")
    os.sched_setaffinity(0, sorted(allowed)[-threads:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def profile_kernels(
    compiled: Compiled,
    run: Run,
    inputs: Mapping[str, Array],
    *,
    rounds: int = 11,
    warmup: int = 2,
) -> tuple[Kernel, ...]:
    """Return the kernels with their median times, or as they are where it cannot be told.

    Args:
        compiled: What ``run`` was loaded from.
        run: The program.
        inputs: Arrays by input name.
        rounds: Timed runs, at least 1.
        warmup: Runs before those, not timed.
    """
    if isinstance(run, Traces):
        return run.trace(inputs, rounds=rounds)
    if not isinstance(run, Profiles):
        return compiled.kernels
    samples = [run.profile(inputs) for _ in range(warmup + rounds)][warmup:]
    microseconds = np.median(np.stack(samples), axis=0) / 1000
    return tuple(
        replace(kernel, microseconds=float(spent))
        for kernel, spent in zip(compiled.kernels, microseconds, strict=True)
    )

"""How good a cost model is at what it is for: telling the better of two schedules."""

from __future__ import annotations

import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.features import Facts
from suture.compiler.cost.model import KernelModel, preferring

TIE = 0.02
"""Times nearer than this are no pair to be told apart: they are within the noise."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A measurement to learn from.

    Attributes:
        kernel: What was computed; samples of one kernel differ in the schedule only.
        facts: The kernel under its schedule.
        microseconds: What it took.
        rank: Place of the schedule in the rule's own order, from 0.
    """

    kernel: Hashable
    facts: Facts
    microseconds: float
    rank: int


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How predictions compare with measurements, averaged over kernels.

    Attributes:
        pairwise_accuracy: Part of the pairs of schedules that are in the right order.
        top1_regret: How much longer the one that is expected to be the fastest takes than the
            one that is; 0.1 is ten percent.
        top1_worst: The same of the worst kernel.
        top3_regret: The same if the three that are expected to be the fastest are measured.
        mape: Mean relative error of the predicted times; None of an order without times.
        kernels: How many kernels were looked at.
        samples: How many measurements.
    """

    pairwise_accuracy: float
    top1_regret: float
    top1_worst: float
    top3_regret: float
    mape: float | None
    kernels: int
    samples: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A model on kernels that it has not seen, against the rules' formulas.

    Attributes:
        model: The model, trained anew without each group of kernels it is asked about.
        formula: The order in which the rules list their schedules.
        fit_seconds: Time to train on all samples.
        rows_per_second: Predictions a second.
    """

    model: Quality
    formula: Quality
    fit_seconds: float
    rows_per_second: float


def evaluate(
    samples: Sequence[Sample], model: KernelModel, *, folds: int | None = None, seed: int = 0
) -> Evaluation:
    """Return how a model does on kernels that were left out when it was trained.

    Args:
        samples: Measurements of at least two kernels.
        model: Says how to learn; what it has learned already is not used.
        folds: Parts that the kernels are split into by chance; one kernel at a time if None.
        seed: Of the split.

    Raises:
        ValueError: Fewer than two kernels were measured.
    """
    kernels = list(dict.fromkeys(sample.kernel for sample in samples))
    if len(kernels) < 2:
        raise ValueError("at least two kernels must be measured to hold one out")
    parts = min(folds or len(kernels), len(kernels))
    order = np.random.default_rng(seed).permutation(len(kernels))
    fold_of = {kernels[index]: place % parts for place, index in enumerate(order)}
    where = np.array([fold_of[sample.kernel] for sample in samples])
    facts = [sample.facts for sample in samples]
    times = np.array([sample.microseconds for sample in samples])
    expected = np.zeros(len(samples))
    for part in range(parts):
        seen, held = np.flatnonzero(where != part), np.flatnonzero(where == part)
        fitted = model.fit([facts[i] for i in seen], times[seen])
        expected[held] = fitted.predict([facts[i] for i in held])
    began = time.perf_counter()
    whole = model.fit(facts, times)
    fitted_at = time.perf_counter()
    whole.predict(facts)
    done = time.perf_counter()
    ranks = np.array([sample.rank for sample in samples], np.float64)
    return Evaluation(
        model=quality(samples, preferring(expected, ranks), predicted=expected),
        formula=quality(samples, ranks),
        fit_seconds=fitted_at - began,
        rows_per_second=len(samples) / (done - fitted_at),
    )


def quality(
    samples: Sequence[Sample], expected: Vector, *, predicted: Vector | None = None
) -> Quality:
    """Return how an order of schedules compares with the measured one.

    Args:
        samples: What was measured.
        expected: Numbers that are the less, the better a schedule is taken to be.
        predicted: Microseconds, where times are predicted.
    """
    times = np.array([sample.microseconds for sample in samples])
    groups: dict[Hashable, list[int]] = {}
    for index, sample in enumerate(samples):
        groups.setdefault(sample.kernel, []).append(index)
    found = [_of_kernel(times[each], expected[each]) for each in groups.values()]
    right = [pairs for pairs, _, _ in found if pairs is not None]
    first = np.array([regret for _, regret, _ in found])
    return Quality(
        pairwise_accuracy=float(np.mean(right)) if right else 1.0,
        top1_regret=float(first.mean()),
        top1_worst=float(first.max()),
        top3_regret=float(np.mean([regret for _, _, regret in found])),
        mape=None if predicted is None else float(np.abs(predicted / times - 1).mean()),
        kernels=len(groups),
        samples=len(samples),
    )


def _of_kernel(times: Vector, expected: Vector) -> tuple[float | None, float, float]:
    """Return the part of pairs in the right order, if there are any, and two regrets."""
    slower = times[:, None] > times[None] * (1 + TIE)
    right = (expected[:, None] > expected[None])[slower]
    order = np.argsort(expected, kind="stable")
    best = times.min()
    return (
        float(right.mean()) if right.size else None,
        float(times[order[0]] / best - 1),
        float(times[order[:3]].min() / best - 1),
    )

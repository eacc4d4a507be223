"""One program per kind of request against one for all, on the example's held-out digits.

    .venv/bin/python benchmarks/digits.py

Plans are chosen on one half of the evaluation set and scored on the other, both ways, for
several halvings. Latency is ONNX Runtime's, one thread, all plans in interleaved rounds.
Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suture.compiler.cost.rows import machine, versions
from suture.compiler.link import link
from suture.compiler.plan.base import INPUT, Plan
from suture.compiler.plan.estimate import measure_latency
from suture.compiler.plan.evaluate import PRIOR, hits, read_evaluation
from suture.compiler.plan.execute import Executor
from suture.compiler.plan.search import search
from suture.compiler.task import read_task
from suture.driver.planning import open_library

TASK = Path(__file__).parent.parent / "examples" / "digits" / "task.toml"
Vector = npt.NDArray[Any]


@dataclass(frozen=True)
class Measured:
    """Every plan on every sample.

    Attributes:
        plans: The candidates.
        right: ``(plans, samples)``: whether the answer is right.
        latency_ms: ``(plans,)``.
        buckets: ``(samples,)``.
        conditions: ``(samples,)``.
        prices: ``(plans,)`` dollars per million requests.
        costs: ``(plans,)`` what the task's objective takes off for time and price.
    """

    plans: Sequence[Plan]
    right: Vector
    latency_ms: Vector
    buckets: Vector
    conditions: Vector
    prices: Vector
    costs: Vector


def measure(rounds: int) -> Measured:
    """Run everything once, and time every plan."""
    task = read_task(TASK)
    assert task.evaluation is not None
    data = read_evaluation(task.evaluation, task.input.kind)
    components = {component.ref: component for component in open_library(task.library)}
    entry = task.input.bound(data.inputs.shape[1:])
    plans = search(replace(task, input=entry), tuple(components.values())).plans
    executor = Executor(components, entry, list(data.inputs), threads=0)
    right = np.array([hits(plan, executor.run(plan), data.labels) for plan in plans])
    models = {plan.digest: link(plan, components, entry) for plan in plans}
    times = measure_latency(models, {INPUT: data.inputs[0]}, rounds=rounds)
    latency_ms = np.array([times[plan.digest].median_ms for plan in plans])
    prices = np.array([task.targets[0].usd_per_million(each) for each in latency_ms])
    cost = task.objective.latency_weight * latency_ms + task.objective.cost_weight * prices
    return Measured(plans, right, latency_ms, data.buckets, data.conditions, prices, cost)


def choose(measured: Measured, seen: Vector, *, by_kind: bool) -> Vector:
    """Return a plan for every sample, by what was seen of it as the planner would."""
    overall = measured.right[:, seen].mean(1)
    chosen = np.full(len(seen), (overall - measured.costs).argmax())
    for bucket in np.unique(measured.buckets) if by_kind else ():
        inside = measured.buckets == bucket
        count = int((inside & seen).sum())
        hit = measured.right[:, inside & seen].sum(1)
        expected = (hit + PRIOR * overall) / (count + PRIOR)
        chosen[inside] = (expected - measured.costs).argmax()
    return chosen


def choices(measured: Measured, policy: str, splits: int) -> Iterator[Vector]:
    """Yield a plan for every sample, each half chosen by the other, for several halvings."""
    count = len(measured.buckets)
    if policy == "monolith":
        names = [plan.name for plan in measured.plans]
        yield np.full(count, names.index("digit-monolith"))
        return
    for seed in range(splits):
        seen = np.random.default_rng(seed).permutation(count) % 2 == 0
        first, second = (
            choose(measured, half, by_kind=policy == "a plan per kind")
            for half in (seen, ~seen)
        )
        yield np.where(seen, second, first)


def score(measured: Measured, chosen: Sequence[Vector]) -> dict[str, Vector]:
    """Return accuracy, latency, price and reward by sample, the mean over the halvings."""
    samples = np.arange(len(measured.buckets))
    right = np.mean([measured.right[each, samples] for each in chosen], axis=0)
    cost = np.mean([measured.costs[each] for each in chosen], axis=0)
    return {
        "accuracy": right,
        "ms": np.mean([measured.latency_ms[each] for each in chosen], axis=0),
        "price": np.mean([measured.prices[each] for each in chosen], axis=0),
        "reward": right - cost,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--splits", type=int, default=20)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    measured = measure(options.rounds)
    scores = {
        name: score(measured, list(choices(measured, name, options.splits)))
        for name in ("monolith", "best fixed plan", "a plan per kind")
    }
    base = scores["monolith"]["ms"].mean()
    print(f"{len(measured.buckets)} held-out digits, {len(measured.plans)} plans")
    print(f"{machine()}; {versions()}\n")
    print("| policy | accuracy | mean ms | time / monolith | $ per million | reward |")
    print("|---|---|---|---|---|---|")
    for name, each in scores.items():
        print(
            f"| {name} | {each['accuracy'].mean():.4f} | {each['ms'].mean():.3f} "
            f"| {each['ms'].mean() / base:.2f} | {each['price'].mean():.3f} "
            f"| {each['reward'].mean():.4f} |"
        )
    conditions = np.unique(measured.conditions)
    print("\n| accuracy on | " + " | ".join(conditions) + " |")
    print("|---|" + "---|" * len(conditions))
    for name, each in scores.items():
        cells = [each["accuracy"][measured.conditions == c].mean() for c in conditions]
        print(f"| {name} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()

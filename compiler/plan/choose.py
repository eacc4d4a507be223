"""Weigh estimates, mark the Pareto front, choose, and say why the others lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from suture.compiler.plan.estimate import Estimate
from suture.compiler.task import Limits, Objective
from suture.errors import Location, PlanError


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """One estimate after weighing.

    Attributes:
        estimate: What was weighed.
        reward: accuracy - latency_weight * latency_ms - cost_weight * usd_per_million.
        pareto: Whether no other plan is at least as good in everything and better in one.
        chosen: Whether this is the plan to build.
        reason: Why it was chosen, or why it lost.
    """

    estimate: Estimate
    reward: float
    pareto: bool
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Breach:
    """A limit that a plan exceeds.

    Attributes:
        limit: Its name in task.toml.
        bound: What the task allows.
        value: What the plan needs.
        excess: By which fraction of the bound the plan misses it.
    """

    limit: str
    bound: float
    value: float
    excess: float

    def __str__(self) -> str:
        return f"{self.limit} = {self.bound:g} is missed: {self.value:.4g}"


def reward(estimate: Estimate, objective: Objective) -> float:
    """Return what a plan is worth under a task's objective."""
    return (
        estimate.accuracy
        - objective.latency_weight * estimate.latency_ms
        - objective.cost_weight * estimate.usd_per_million
    )


def breaches(estimate: Estimate, limits: Limits) -> tuple[Breach, ...]:
    """Return the limits that a plan exceeds, the worst first."""
    upper = (
        ("latency_p95_ms", limits.latency_p95_ms, estimate.latency_p95_ms),
        ("memory_mb", limits.memory_mb, estimate.peak_bytes / 2**20),
        ("package_mb", limits.package_mb, estimate.weight_bytes / 2**20),
    )
    found = [
        Breach(name, bound, value, value / bound - 1)
        for name, bound, value in upper
        if bound is not None and value > bound
    ]
    least = limits.min_accuracy
    if least is not None and estimate.accuracy < least:
        found.append(
            Breach("min_accuracy", least, estimate.accuracy, 1 - estimate.accuracy / least)
        )
    return tuple(sorted(found, key=lambda breach: -breach.excess))


def dominates(one: Estimate, other: Estimate) -> bool:
    """Whether ``one`` is as good in accuracy, time, memory and price, and better in one."""
    ours = (-one.accuracy, one.latency_ms, one.peak_bytes, one.usd_per_million)
    theirs = (-other.accuracy, other.latency_ms, other.peak_bytes, other.usd_per_million)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def choose(
    estimates: Sequence[Estimate], objective: Objective, limits: Limits, *, task: str
) -> tuple[Weighed, ...]:
    """Return every estimate weighed, the chosen one first, then by falling reward.

    Raises:
        PlanError: No plan keeps every limit; names the limit and the closest plan.
    """
    ranked = sorted(
        estimates,
        # Of equal rewards the one that dominates comes first: memory is not in the reward.
        key=lambda e: (
            *(-reward(e, objective), -e.accuracy, e.latency_ms, e.peak_bytes),
            *(e.usd_per_million, e.plan.name),
        ),
    )
    broken = {e.plan.digest: breaches(e, limits) for e in ranked}
    winner = next((e for e in ranked if not broken[e.plan.digest]), None)
    if winner is None:
        raise _unsatisfiable(ranked, limits, task)
    best = reward(winner, objective)
    weighed = []
    for each in sorted(ranked, key=lambda e: e is not winner):
        master = next((o for o in ranked if dominates(o, each)), None)
        value = reward(each, objective)
        if each is winner:
            reason = "the greatest reward within the limits"
        elif broken[each.plan.digest]:
            reason = str(broken[each.plan.digest][0])
        elif master is not None:
            reason = f"{master.plan.name} is as good or better in everything"
        else:
            reason = _shortfall(each, winner, best - value)
        weighed.append(
            Weighed(
                estimate=each,
                reward=value,
                pareto=master is None,
                chosen=each is winner,
                reason=reason,
            )
        )
    return tuple(weighed)


def _shortfall(each: Estimate, winner: Estimate, gap: float) -> str:
    """Say what costs a plan of the front its reward."""
    points = (winner.accuracy - each.accuracy) * 100
    slower = each.latency_ms / winner.latency_ms
    lost = f"{points:.1f} points less accurate" if points > 0 else f"{slower:.2f}x the time"
    return f"{lost}; reward {gap:.4f} below"


def _unsatisfiable(ranked: Sequence[Estimate], limits: Limits, task: str) -> PlanError:
    """Name the limit in the way, and the plan that comes closest to keeping them all."""
    closest = min(ranked, key=lambda e: breaches(e, limits)[0].excess)
    worst = breaches(closest, limits)
    return PlanError(
        f"no plan keeps every limit; the closest is {closest.plan.name!r}, where "
        + " and ".join(map(str, worst)),
        at=Location(task, f"limits.{worst[0].limit}"),
        hint=f"relax {worst[0].limit}, or add a component that meets it",
    )

"""From telemetry to a policy: the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suture.compiler.cost.records import Records
from suture.compiler.discovery import make
from suture.compiler.plan.evaluate import read_evaluation
from suture.compiler.policy.base import Policy
from suture.compiler.policy.evaluate import OffPolicy, cross_fitted
from suture.compiler.policy.telemetry import episodes, read_logs
from suture.compiler.task import Task
from suture.errors import Location, RequestError

GROUP = "suture.policies"


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A policy and what is known of it.

    Attributes:
        state: What it has learnt, as JSON can hold it.
        old: Mean reward of what ran.
        new: Estimate of what the new policy would have earned.
        episodes: Requests learnt from.
        added: Those that earlier logs did not hold.
        labelled: Those whose answer was checked.
        skipped: Lines of the logs that are neither telemetry nor feedback.
    """

    state: Mapping[str, Any]
    old: float
    new: OffPolicy
    episodes: int
    added: int
    labelled: int
    skipped: int


def learn_task(task: Task, logs: Sequence[Path], policy: str, *, records: Records) -> Learned:
    """Add logs to the records of a task, and learn a policy from all of them.

    Raises:
        RequestError: A log cannot be read, or no request is known.
        PluginError: No such policy is installed.
    """
    untaught = find_policy(policy)
    log = read_logs(logs)
    evaluation = read_evaluation(task.evaluation, task.input.kind) if task.evaluation else None

    def expected(plan: str, bucket: str) -> float | None:
        known = records.accuracy(plan, evaluation.digest) if evaluation else None
        return known.expect(bucket) if known else None

    found = episodes(log, task.objective, task.targets[0], expected)
    added = records.add_episodes(task.name, found)
    everything = records.episodes(task.name)
    if not everything:
        raise RequestError(
            f"{len(log.answers)} answered requests, none of them with a known accuracy",
            at=Location(", ".join(map(str, logs))),
            hint='plan the task first, or add lines {"request_id": ..., "correct": true}',
        )
    plans = list(dict.fromkeys(episode.plan for episode in everything))
    return Learned(
        state={"name": untaught.name, **untaught.learn(everything).state()},
        old=float(np.mean([episode.reward for episode in everything])),
        new=cross_fitted(untaught, everything, plans),
        episodes=len(everything),
        added=added,
        labelled=sum(episode.labelled for episode in everything),
        skipped=log.skipped,
    )


def find_policy(spec: str) -> Policy:
    """Return the policy that a spec describes, before it has learnt anything.

    Raises:
        PluginError: No such policy is installed, or an option does not fit.
    """
    policy: Policy = make(
        GROUP,
        spec,
        noun="policy",
        at=Location("--policy", spec),
        hint="suture policies lists what is installed",
    )
    return policy

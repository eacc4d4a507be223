"""The best plan of each bucket, and now and then another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.rows import Episode
from suture.compiler.policy.base import Policy, Tally, greedy


@dataclass(frozen=True)
class EpsilonGreedy(Policy):
    """ε-greedy in each profile bucket (Sutton and Barto 2018, section 2.2).

    Attributes:
        epsilon: Share of the requests that get a plan by chance, any of them, 0..1.
        tallies: Rewards by bucket and plan.
    """

    name: ClassVar[str] = "epsilon-greedy"
    epsilon: float = 0.1
    tallies: Mapping[str, Mapping[str, Tally]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"epsilon is a share, 0..1, not {self.epsilon}")

    def distribution(self, bucket: str, plans: Sequence[str]) -> Vector:
        """Return ε spread over all plans, and the rest on the bucket's best."""
        chances = np.full(len(plans), self.epsilon / len(plans))
        chances[greedy(self.tallies.get(bucket, {}), plans)] += 1 - self.epsilon
        return chances

    def learn(self, episodes: Iterable[Episode]) -> Self:
        """Add the rewards to their buckets and plans."""
        tallies = {bucket: dict(plans) for bucket, plans in self.tallies.items()}
        for episode in episodes:
            plans = tallies.setdefault(episode.bucket, {})
            plans[episode.plan] = plans.get(episode.plan, Tally()).plus(episode.reward)
        return replace(self, tallies=tallies)

    def state(self) -> Mapping[str, Any]:
        """Return epsilon, and mean reward and count by bucket and plan."""
        return {
            "epsilon": self.epsilon,
            "buckets": {
                bucket: {p: {"mean": t.mean, "count": t.count} for p, t in plans.items()}
                for bucket, plans in self.tallies.items()
            },
        }

"""One plan for every request: the best so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.rows import Episode
from suture.compiler.policy.base import Policy, Tally, greedy


@dataclass(frozen=True)
class Fixed(Policy):
    """Always the plan of the best mean reward, whatever the request looks like."""

    name: ClassVar[str] = "fixed"
    tallies: Mapping[str, Tally] = field(default_factory=dict)

    def distribution(self, bucket: str, plans: Sequence[str]) -> Vector:
        """Return 1 for the best plan and 0 for the others."""
        chances = np.zeros(len(plans))
        chances[greedy(self.tallies, plans)] = 1.0
        return chances

    def learn(self, episodes: Iterable[Episode]) -> Self:
        """Add the rewards to their plans."""
        tallies = dict(self.tallies)
        for episode in episodes:
            tallies[episode.plan] = tallies.get(episode.plan, Tally()).plus(episode.reward)
        return replace(self, tallies=tallies)

    def state(self) -> Mapping[str, Any]:
        """Return mean reward and count by plan."""
        return {p: {"mean": t.mean, "count": t.count} for p, t in self.tallies.items()}

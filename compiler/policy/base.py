"""What a policy is: it decides which plan answers which request, and learns from answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from suture.compiler.cost.base import Vector
from suture.compiler.cost.rows import Episode
from suture.compiler.profile.base import RequestProfile


@dataclass(frozen=True)
class Choice:
    """A plan, and how likely the policy was to pick it.

    Attributes:
        plan: The plan's digest.
        propensity: Its probability, above 0 and at most 1.
    """

    plan: str
    propensity: float


@dataclass(frozen=True)
class Tally:
    """Rewards of one plan, added up."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Mean reward; 0 where nothing was seen."""
        return self.total / self.count if self.count else 0.0

    def plus(self, reward: float) -> Tally:
        """Return this tally with one more reward."""
        return Tally(self.count + 1, self.total + reward)


class Policy(Protocol):
    """A value: ``learn`` returns another policy and leaves this one as it was.

    A subclass gives ``distribution``, ``learn`` and ``state``; ``choose`` follows from it.
    """

    name: ClassVar[str]

    def distribution(self, bucket: str, plans: Sequence[str]) -> Vector:
        """Return the probability of each plan for requests of a bucket; they add up to 1."""

    def learn(self, episodes: Iterable[Episode]) -> Self:
        """Return the policy that has also seen these answers."""

    def state(self) -> Mapping[str, Any]:
        """Return what has been learnt, as JSON can hold it."""

    def choose(
        self, profile: RequestProfile, plans: Sequence[str], rng: np.random.Generator
    ) -> Choice:
        """Pick a plan for one request.

        Args:
            profile: What the request looks like.
            plans: Digests of the candidates, the planner's choice first.
            rng: Where chance comes from.
        """
        chances = self.distribution(profile.bucket, plans)
        pick = int(rng.choice(len(plans), p=chances))
        return Choice(plans[pick], float(chances[pick]))


def greedy(tallies: Mapping[str, Tally], plans: Sequence[str]) -> int:
    """Return the position of the plan with the best mean reward, of those that were seen.

    The first plan where none was seen.
    """
    seen = [i for i, plan in enumerate(plans) if plan in tallies]
    return max(seen, key=lambda i: tallies[plans[i]].mean, default=0)

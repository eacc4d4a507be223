"""What a policy would have earned on requests that another policy answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from suture.compiler.cost.rows import Episode
from suture.compiler.policy.base import Policy


@dataclass(frozen=True)
class OffPolicy:
    """An off-policy estimate of mean reward.

    Attributes:
        ips: By inverse propensity (Horvitz and Thompson 1952): unbiased, noisy.
        snips: Self-normalised (Swaminathan and Joachims 2015): slightly biased, steadier;
            None where the policy would never have picked what was run.
        effective: Kish's effective number of episodes behind the estimate.
        episodes: Number of episodes.
    """

    ips: float
    snips: float | None
    effective: float
    episodes: int


def off_policy(policy: Policy, episodes: Sequence[Episode], plans: Sequence[str]) -> OffPolicy:
    """Estimate a policy's mean reward from logged episodes it has not learnt from."""
    if not episodes:
        return OffPolicy(0.0, None, 0.0, 0)
    rewards = np.array([episode.reward for episode in episodes])
    weights = np.array([_weight(policy, episode, plans) for episode in episodes])
    total, squares = float(weights.sum()), float(np.square(weights).sum())
    return OffPolicy(
        ips=float((weights * rewards).mean()),
        snips=float((weights * rewards).sum() / total) if total else None,
        effective=total**2 / squares if squares else 0.0,
        episodes=len(episodes),
    )


def cross_fitted(
    policy: Policy, episodes: Sequence[Episode], plans: Sequence[str]
) -> OffPolicy:
    """Estimate what a policy earns once it has learnt from the episodes.

    Learning from half and scoring on the other half, both ways: a policy scored on what it
    learnt from looks better than it is.
    """
    halves = (episodes[::2], episodes[1::2])
    scored = [
        off_policy(policy.learn(halves[1 - turn]), halves[turn], plans) for turn in (0, 1)
    ]
    count = sum(part.episodes for part in scored)
    known = [part for part in scored if part.snips is not None]
    mass = sum(part.effective for part in known)
    return OffPolicy(
        ips=sum(part.ips * part.episodes for part in scored) / max(count, 1),
        snips=sum((part.snips or 0.0) * part.effective for part in known) / mass
        if mass
        else None,
        effective=mass,
        episodes=count,
    )


def _weight(policy: Policy, episode: Episode, plans: Sequence[str]) -> float:
    if episode.plan not in plans:
        return 0.0
    chances = policy.distribution(episode.bucket, plans)
    return float(chances[list(plans).index(episode.plan)]) / episode.propensity

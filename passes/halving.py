"""How much an accuracy budget buys: an interval of steps is halved by what is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

ROUNDING = 1e-9
"""Of differences of fractions."""


@dataclass(frozen=True, kw_only=True)
class Fall:
    """What a change of a model costs.

    Attributes:
        drop: Fall of accuracy on the half of the evaluation set that chooses.
        held_out: Accuracy before and after on the half that does not; None where it was not
            asked, since the other half refused.
        samples: How many samples that half has.
    """

    drop: float
    held_out: tuple[float, float] | None
    samples: int

    @property
    def held_out_drop(self) -> float:
        """Fall of accuracy on the half that does not choose."""
        return np.inf if self.held_out is None else self.held_out[0] - self.held_out[1]

    def keeps(self, budget: float) -> bool:
        """Whether accuracy on both halves falls by no more than a budget."""
        return max(self.drop, self.held_out_drop) <= budget + ROUNDING

    def told(self, refused: str = "") -> str:
        """Return both figures for people, and what the held-out half refused, if anything."""
        assert self.held_out is not None
        return (
            f"accuracy falls by {self.drop:.4f} where it was chosen, from "
            f"{self.held_out[0]:.4f} to {self.held_out[1]:.4f} on {self.samples} "
            f"held-out samples{refused}"
        )


Tried = TypeVar("Tried", bound=Fall)


def choose(
    over: int, attempt: Callable[[int], Tried], budget: float, *, all_first: bool = False
) -> tuple[Tried, Tried | None] | None:
    """Return the greatest step that keeps to a budget, and one that was refused, or None.

    Accuracy is taken to fall from step to step. The held-out half only ever refuses: where it
    does not agree to what the other half chose, that is the refused step, and the interval
    is halved again by both.

    Args:
        over: The first step that is too much; step 0 changes nothing.
        attempt: Measures a step; each is asked for once.
        budget: How far accuracy may fall.
        all_first: Whether to begin with the greatest step: where it does, that is all.
    """
    known = cache(attempt)
    if all_first and over > 1:
        if known(over - 1).keeps(budget):
            return known(over - 1), None
        over -= known(over - 1).drop > budget + ROUNDING
    step = _greatest(over, lambda at: known(at).drop <= budget + ROUNDING)
    if step == 0:
        return None
    blind = known(step)
    if blind.keeps(budget):
        return blind, None
    step = _greatest(step, lambda at: known(at).keeps(budget))
    return (known(step), blind) if step else None


def _greatest(over: int, accepts: Callable[[int], bool]) -> int:
    """Return the greatest step below one that is over, as far as halving finds it."""
    most = 0
    while over - most > 1:
        middle = (most + over) // 2
        if accepts(middle):
            most = middle
        else:
            over = middle
    return most

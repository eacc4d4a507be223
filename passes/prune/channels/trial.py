"""How much may go: halve the interval by the accuracy that is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.prune.channels.pruning import Pruning, flops_of

STEPS = 64
"""Amounts of work, from all to none, that are told apart."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A smaller model, and how right it is.

    Attributes:
        part: The part of the work it was to keep.
        flops: The work before and after.
        drop: Fall of accuracy on the half that chooses.
        held_out: Accuracy before and after on the half that does not.
        samples: How many samples that half has.
        refused: The greater cut that the half that chooses took and the other did not, or
            None where that half was asked only once.
    """

    part: float
    flops: tuple[int, int]
    drop: float
    held_out: tuple[float, float]
    samples: int
    refused: Trial | None = None

    @property
    def fewer(self) -> float:
        """The part of the work that went."""
        return 1 - self.flops[1] / self.flops[0]

    @property
    def held_out_drop(self) -> float:
        """Fall of accuracy on the half that does not choose."""
        return self.held_out[0] - self.held_out[1]

    def keeps(self, budget: float) -> bool:
        """Whether accuracy on both halves falls by no more than a budget."""
        return max(self.drop, self.held_out_drop) <= budget + ROUNDING

    def __str__(self) -> str:
        before, after = self.flops
        blind = f"{self.samples} held-out samples"
        if self.refused is not None:
            cut, drop = self.refused.fewer, self.refused.held_out_drop
            blind += f", which refused {cut:.1%} for a fall of {drop:.4f}"
        return (
            f"{before:,} FLOPs to {after:,}, {self.fewer:.1%} fewer; accuracy falls "
            f"by {self.drop:.4f} where it was chosen, from {self.held_out[0]:.4f} to "
            f"{self.held_out[1]:.4f} on {blind}"
        )


ROUNDING = 1e-9
"""Of differences of fractions."""


@dataclass
class Trials:
    """Tries amounts, each once.

    Attributes:
        pruning: The model, looked at with the half that chooses.
        choosing: Samples that choose the amount.
        held_out: The others.
    """

    pruning: Pruning
    choosing: Evaluation
    held_out: Evaluation
    _before: tuple[float, float] = field(init=False)
    _known: dict[int, Trial] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._before = self._accuracy(self.pruning.original)

    def choose(self, budget: float) -> Trial | None:
        """Return the greatest cut that keeps to a budget, or None.

        Accuracy is taken to fall as more goes. The held-out half only ever refuses: the cut
        becomes smaller until it agrees.
        """
        step = self._greatest(STEPS, lambda trial: trial.drop <= budget + ROUNDING)
        if step == 0:
            return None
        blind = self._trial(step)
        if blind.keeps(budget):
            return blind
        step = self._greatest(step, lambda trial: trial.keeps(budget))
        return replace(self._trial(step), refused=blind) if step else None

    def _greatest(self, over: int, accepts: Callable[[Trial], bool]) -> int:
        """Return the greatest step below one that is over, as far as halving finds it."""
        most = 0
        while over - most > 1:
            middle = (most + over) // 2
            if accepts(self._trial(middle)):
                most = middle
            else:
                over = middle
        return most

    def _trial(self, step: int) -> Trial:
        if step not in self._known:
            self._known[step] = self._try(1 - step / STEPS)
        return self._known[step]

    def _try(self, part: float) -> Trial:
        original = self.pruning.original
        smaller = self.pruning.prune(original.clone(), part)
        after = self._accuracy(smaller)
        return Trial(
            part=part,
            flops=(flops_of(original), flops_of(smaller)),
            drop=self._before[0] - after[0],
            held_out=(self._before[1], after[1]),
            samples=len(self.held_out),
        )

    def _accuracy(self, model: ir.Model) -> tuple[float, float]:
        return (
            float(self.choosing.hits(model).mean()),
            float(self.held_out.hits(model).mean()),
        )

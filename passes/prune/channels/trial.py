"""How much may go: halve the interval by the accuracy that is measured."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.halving import Fall, choose
from suture.passes.prune.channels.pruning import Pruning, flops_of

STEPS = 64
"""Amounts of work, from all to none, that are told apart."""


@dataclass(frozen=True, kw_only=True)
class Trial(Fall):
    """A smaller model, and how right it is.

    Attributes:
        part: The part of the work it was to keep.
        flops: The work before and after.
        refused: The greater cut that the half that chooses took and the other did not, or
            None where that half was asked only once.
    """

    part: float
    flops: tuple[int, int]
    refused: Trial | None = None

    @property
    def fewer(self) -> float:
        """The part of the work that went."""
        return 1 - self.flops[1] / self.flops[0]

    def __str__(self) -> str:
        before, after = self.flops
        refused = ""
        if self.refused is not None:
            cut, drop = self.refused.fewer, self.refused.held_out_drop
            refused = f", which refused {cut:.1%} for a fall of {drop:.4f}"
        return f"{before:,} FLOPs to {after:,}, {self.fewer:.1%} fewer; {self.told(refused)}"


@dataclass
class Trials:
    """Tries amounts.

    Attributes:
        pruning: The model, looked at with the half that chooses.
        choosing: Samples that choose the amount.
        held_out: The others.
    """

    pruning: Pruning
    choosing: Evaluation
    held_out: Evaluation
    _before: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._accuracy(self.pruning.original)

    def choose(self, budget: float) -> Trial | None:
        """Return the greatest cut that keeps to a budget, or None."""
        found = choose(STEPS, lambda step: self._try(1 - step / STEPS), budget)
        return None if found is None else replace(found[0], refused=found[1])

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

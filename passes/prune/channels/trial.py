"""How much may go: amounts of work are tried out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.halving import Fall
from suture.passes.prune.channels.pruning import Pruning, flops_of
from suture.passes.trials import Trials

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
class Amounts(Trials[Trial]):
    """Tries amounts of work.

    Attributes:
        pruning: The model, looked at with the half that chooses.
    """

    pruning: Pruning

    @classmethod
    def of(cls, pruning: Pruning, choosing: Evaluation, held_out: Evaluation) -> Amounts:
        """Return trials of a model on two halves."""
        return cls(pruning.original, choosing, held_out, pruning)

    def find(self, budget: float) -> Trial | None:
        """Return the greatest cut that keeps to a budget, or None."""
        found = self.choose(STEPS, budget)
        return None if found is None else replace(found[0], refused=found[1])

    def make(self, step: int) -> ir.Model:
        """Return the model without so many parts of its work."""
        return self.pruning.prune(self.original.clone(), _part(step))

    def tell(self, step: int, model: ir.Model, fall: Fall) -> Trial:
        """Return the work that is left."""
        flops = (flops_of(self.original), flops_of(model))
        return Trial(**vars(fall), part=_part(step), flops=flops)


def _part(step: int) -> float:
    return 1 - step / STEPS

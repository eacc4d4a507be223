"""How many units may go into 8 bits: numbers of them are tried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.halving import Fall
from suture.passes.quantize.candidates import Unit
from suture.passes.quantize.quantizing import Quantizing
from suture.passes.trials import Trials


@dataclass(frozen=True, kw_only=True)
class Trial(Fall):
    """A quantised model, and how right it is.

    Attributes:
        units: How many units are in 8 bits.
        nodes: How many nodes that are, and how many could be.
        part: The part of the work of those that could be.
        refused: What the half that chooses took and the other did not, or None.
    """

    units: int
    nodes: tuple[int, int]
    part: float
    refused: Trial | None = None

    def __str__(self) -> str:
        refused = ""
        if self.refused is not None:
            count, drop = self.refused.nodes[0], self.refused.held_out_drop
            refused = f", which refused {count} for a fall of {drop:.4f}"
        return (
            f"{self.nodes[0]} of {self.nodes[1]} convolutions and products in 8 bits, "
            f"{self.part:.1%} of their FLOPs; {self.told(refused)}"
        )


@dataclass
class Counts(Trials[Trial]):
    """Tries numbers of units, all of them first: as a rule they may.

    ONNX Runtime's own kernels in 8 bits are left out of it. Those saturate 16-bit sums on some
    processors, which says nothing of the target.

    Attributes:
        quantizing: The model, looked at with the half that chooses.
    """

    optimize: ClassVar[bool] = False

    quantizing: Quantizing

    @classmethod
    def of(cls, quantizing: Quantizing, choosing: Evaluation, held_out: Evaluation) -> Counts:
        """Return trials of a model on two halves."""
        return cls(quantizing.original, choosing, held_out, quantizing)

    def find(self, budget: float) -> Trial | None:
        """Return the most units in 8 bits that keep to a budget, or None."""
        found = self.choose(len(self.quantizing.order) + 1, budget, all_first=True)
        return None if found is None else replace(found[0], refused=found[1])

    def make(self, step: int) -> ir.Model:
        """Return the model with the first so many units in 8 bits."""
        return self.quantizing.quantize(self.original.clone(), step)

    def tell(self, step: int, model: ir.Model, fall: Fall) -> Trial:
        """Return how much of the work is in 8 bits."""
        units = [each.unit for each in self.quantizing.order]
        return Trial(
            **vars(fall),
            units=step,
            nodes=(_nodes(units[:step]), _nodes(units)),
            part=_flops(units[:step]) / max(1, _flops(units)),
        )


def _nodes(units: Sequence[Unit]) -> int:
    return sum(len(unit.nodes) for unit in units)


def _flops(units: Sequence[Unit]) -> int:
    return sum(unit.flops for unit in units)

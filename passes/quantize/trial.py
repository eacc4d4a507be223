"""How many units may go into 8 bits: models are quantised, and their accuracy measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.halving import Fall, choose
from suture.passes.quantize.candidates import Unit
from suture.passes.quantize.quantizing import Quantizing


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
class Trials:
    """Tries numbers of units.

    Attributes:
        quantizing: The model, looked at with the half that chooses.
        choosing: Samples that choose.
        held_out: The others.
    """

    quantizing: Quantizing
    choosing: Evaluation
    held_out: Evaluation
    _before: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = self._accuracy(self.quantizing.original)

    def choose(self, budget: float) -> Trial | None:
        """Return the most units in 8 bits that keep to a budget, or None."""
        found = choose(len(self.quantizing.order) + 1, self._try, budget)
        return None if found is None else replace(found[0], refused=found[1])

    def _try(self, count: int) -> Trial:
        original = self.quantizing.original
        after = self._accuracy(self.quantizing.quantize(original.clone(), count))
        units = [each.unit for each in self.quantizing.order]
        return Trial(
            drop=self._before[0] - after[0],
            held_out=(self._before[1], after[1]),
            samples=len(self.held_out),
            units=count,
            nodes=(_nodes(units[:count]), _nodes(units)),
            part=_flops(units[:count]) / max(1, _flops(units)),
        )

    def _accuracy(self, model: ir.Model) -> tuple[float, float]:
        """Return accuracies without ONNX Runtime's own kernels in 8 bits.

        Those saturate 16-bit sums on some processors, which says nothing of the target.
        """
        choosing = self.choosing.hits(model, optimize=False)
        return float(choosing.mean()), float(self.held_out.hits(model, optimize=False).mean())


def _nodes(units: Sequence[Unit]) -> int:
    return sum(len(unit.nodes) for unit in units)


def _flops(units: Sequence[Unit]) -> int:
    return sum(unit.flops for unit in units)

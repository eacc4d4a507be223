"""Models tried out against an accuracy budget, on both halves of an evaluation set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Generic, TypeVar

import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.passes.halving import ROUNDING, Fall, choose

Tried = TypeVar("Tried", bound=Fall)


@dataclass
class Trials(ABC, Generic[Tried]):
    """Tries steps, of which each changes a model more than the last.

    Attributes:
        original: The model as it is.
        choosing: Samples that choose.
        held_out: The others.
        optimize: Whether ONNX Runtime may rewrite what is measured.
    """

    optimize: ClassVar[bool] = True

    original: ir.Model
    choosing: Evaluation
    held_out: Evaluation
    _before: tuple[float, float] = field(init=False)

    def __post_init__(self) -> None:
        self._before = (
            self._accuracy(self.original, self.choosing),
            self._accuracy(self.original, self.held_out),
        )

    @abstractmethod
    def make(self, step: int) -> ir.Model:
        """Return a changed copy of the original."""

    @abstractmethod
    def tell(self, step: int, model: ir.Model, fall: Fall) -> Tried:
        """Return what there is to tell of a step."""

    def choose(
        self, over: int, budget: float, *, all_first: bool = False
    ) -> tuple[Tried, Tried | None] | None:
        """Return the greatest step that keeps to a budget, and one refused; see ``choose``."""
        return choose(
            over, lambda step: self.attempt(step, budget), budget, all_first=all_first
        )

    def attempt(self, step: int, budget: float) -> Tried:
        """Measure a step; the held-out half is asked only where the other one agrees."""
        model = self.make(step)
        drop = self._before[0] - self._accuracy(model, self.choosing)
        held_out = None
        if drop <= budget + ROUNDING:
            held_out = (self._before[1], self._accuracy(model, self.held_out))
        fall = Fall(drop=drop, held_out=held_out, samples=len(self.held_out))
        return self.tell(step, model, fall)

    def _accuracy(self, model: ir.Model, evaluation: Evaluation) -> float:
        return float(evaluation.hits(model, optimize=self.optimize).mean())

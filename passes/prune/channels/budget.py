"""Prune channels and attention heads as far as an accuracy budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.errors import Location, PassError
from suture.passes.base import GraphPass, Note, PassContext, PassResult
from suture.passes.prune.channels.pruning import Pruning
from suture.passes.prune.channels.trial import Trials

SEED = 0
"""Of the halves of the evaluation set."""


NOTHING = "there is no evaluation set to measure the accuracy budget with"


@dataclass(frozen=True)
class PruneChannels(GraphPass):
    """Cut the channels and attention heads whose loss costs the least accuracy.

    Half of the evaluation set calibrates and chooses how much goes: the most for which
    accuracy falls by no more than the budget. The other half is looked at afterwards.

    Before: ``Conv(8 -> 64) -> Relu -> Conv(64 -> 10)``.
    After: ``Conv(8 -> 23) -> Relu -> Conv(23 -> 10)``, the weights of the second solved anew.

    Attributes:
        budget: How far accuracy, a fraction, may fall.
        required: Whether it is an error that there is nothing to measure accuracy with; the
            model stays as it is otherwise.
    """

    name: ClassVar[str] = "prune-channels"
    exact: ClassVar[bool] = False
    after: ClassVar[tuple[str, ...]] = ("fold-*",)

    budget: float = 0.005
    required: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.budget < 1:
            raise ValueError(f"budget is a fraction of accuracy, not {self.budget:g}")

    def requires(self, model: ir.Model, ctx: PassContext) -> None:
        """Raise ``PassError`` where there is nothing to measure accuracy with."""
        if ctx.evaluation is None and self.required:
            raise PassError(
                NOTHING,
                hint="compile a task with an evaluation set whose inputs have the request's "
                "shape, or leave the pass out with --passes",
            )

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Find the order of groups, then how many of them may go."""
        at = Location(model.graph.name or "model")
        if ctx.evaluation is None:
            return PassResult(model, declined=(Note(at, NOTHING),))
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        choosing, held_out = ctx.evaluation.halves(np.random.default_rng(SEED))
        pruning = Pruning.of(model, choosing)
        if not pruning.order.groups.size:
            reason = "no channel is free of inputs, outputs and operators that need it whole"
            return PassResult(model, declined=(Note(at, reason),))
        chosen = Trials(pruning, choosing, held_out).choose(self.budget)
        if chosen is None:
            reason = f"any that go cost more than {self.budget:g} of accuracy"
            return PassResult(model, declined=(Note(at, reason),))
        pruning.prune(model, chosen.part)
        return PassResult(model, made=(Note(at, str(chosen)),))

"""Prune channels and attention heads as far as an accuracy budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.errors import Location
from suture.passes.base import Note, PassContext, PassResult
from suture.passes.budget import BudgetedPass, halves
from suture.passes.prune.channels.pruning import Pruning
from suture.passes.prune.channels.trial import Amounts


@dataclass(frozen=True)
class PruneChannels(BudgetedPass):
    """Cut the channels and attention heads whose loss costs the least accuracy.

    Half of the evaluation set calibrates and chooses how much goes: the most for which
    accuracy falls by no more than the budget. The other half is looked at afterwards.

    Before: ``Conv(8 -> 64) -> Relu -> Conv(64 -> 10)``.
    After: ``Conv(8 -> 23) -> Relu -> Conv(23 -> 10)``, the weights of the second solved anew.
    """

    name: ClassVar[str] = "prune-channels"
    after: ClassVar[tuple[str, ...]] = ("fold-*",)

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Find the order of groups, then how many of them may go."""
        at = Location(model.graph.name or "model")
        found = halves(ctx.evaluation)
        if isinstance(found, str):
            return PassResult(model, declined=(Note(at, found),))
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        choosing, held_out = found
        pruning = Pruning.of(model, choosing)
        if not pruning.order.groups.size:
            reason = "no channel is free of inputs, outputs and operators that need it whole"
            return PassResult(model, declined=(Note(at, reason),))
        chosen = Amounts.of(pruning, choosing, held_out).find(self.budget)
        if chosen is None:
            reason = f"any that go cost more than {self.budget:g} of accuracy"
            return PassResult(model, declined=(Note(at, reason),))
        pruning.prune(model, chosen.part)
        return PassResult(model, made=(Note(at, str(chosen)),))

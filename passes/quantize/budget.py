"""Quantise as far as an accuracy budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.errors import Location
from suture.passes.base import Note, PassContext, PassResult
from suture.passes.budget import BudgetedPass, halves
from suture.passes.quantize.candidates import is_quantised
from suture.passes.quantize.quantizing import Quantizing
from suture.passes.quantize.trial import Counts
from suture.passes.quantize.writing import Numbers

LEAST_OPSET = 13
"""Since which weights can have a scale for each filter."""


@dataclass(frozen=True)
class Quantize(BudgetedPass):
    """Compute convolutions and products in 8 bits, those first whose rounding costs the least.

    Half of the evaluation set calibrates and chooses how many; the other half is looked at
    afterwards, and refuses what costs it more than the budget.

    Before: ``Conv(x, w, b) -> Relu``.
    After: ``Conv(DequantizeLinear(QuantizeLinear(x)), DequantizeLinear(w'), b) -> Relu``.

    Attributes:
        bits: Of weights, 7 or 8; 0 for what the target multiplies without saturating.
    """

    name: ClassVar[str] = "quantize"
    after: ClassVar[tuple[str, ...]] = (
        "compose-*",
        "flatten-*",
        "fold-*",
        "fuse-*",
        "join-*",
        "prune-*",
        "raise-opset",
        "tile-*",
    )

    bits: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bits not in (0, 7, 8):
            raise ValueError(f"bits are 7 or 8, or 0 for the target's, not {self.bits}")

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Find the order of units, then how many of them may go into 8 bits."""
        at = Location(model.graph.name or "model")
        found = halves(ctx.evaluation)
        if isinstance(found, str):
            return PassResult(model, declined=(Note(at, found),))
        if is_quantised(model):
            return PassResult(model, declined=(Note(at, "it is quantised already"),))
        if model.opset_imports.get("", 0) < LEAST_OPSET:
            reason = f"operator set {model.opset_imports.get('', 0)} is below {LEAST_OPSET}"
            return PassResult(model, declined=(Note(at, reason),))
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        choosing, held_out = found
        numbers = Numbers.of(ctx.target, self.bits)
        quantizing = Quantizing.of(model, choosing.requests, numbers)
        if not quantizing.order:
            nothing = Note(at, "nothing in it can be computed in 8 bits")
            return PassResult(model, declined=(nothing, *quantizing.declined))
        chosen = Counts.of(quantizing, choosing, held_out).find(self.budget)
        if chosen is None:
            over = Note(
                at, f"any that go into 8 bits cost more than {self.budget:g} of accuracy"
            )
            return PassResult(model, declined=(over, *quantizing.left(0)))
        quantizing.quantize(model, chosen.units)
        made = (Note(at, str(chosen)),)
        return PassResult(model, made=made, declined=quantizing.left(chosen.units))

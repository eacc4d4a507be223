"""Quantise as far as an accuracy budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.compiler.evaluation import Evaluation
from suture.errors import Location, PassError
from suture.passes.base import GraphPass, Note, PassContext, PassResult
from suture.passes.quantize.candidates import is_quantised
from suture.passes.quantize.quantizing import Quantizing
from suture.passes.quantize.trial import Trials
from suture.passes.quantize.writing import Numbers

SEED = 0
"""Of the halves of the evaluation set."""

NOTHING = "there is no evaluation set to measure the accuracy budget with"
TOO_FEW = "an evaluation set of one sample has no second half to agree with the first"
LEAST_OPSET = 13
"""Since which weights can have a scale for each filter."""


@dataclass(frozen=True)
class Quantize(GraphPass):
    """Compute convolutions and products in 8 bits, those first whose rounding costs the least.

    Half of the evaluation set calibrates and chooses how many; the other half is looked at
    afterwards, and refuses what costs it more than the budget.

    Before: ``Conv(x, w, b) -> Relu``.
    After: ``Conv(DequantizeLinear(QuantizeLinear(x)), DequantizeLinear(w'), b) -> Relu``.

    Attributes:
        budget: How far accuracy, a fraction, may fall.
        bits: Of weights, 7 or 8; 0 for what the target multiplies without saturating.
        required: Whether it is an error that there is nothing to measure accuracy with; the
            model stays as it is otherwise.
    """

    name: ClassVar[str] = "quantize"
    exact: ClassVar[bool] = False
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

    budget: float = 0.005
    bits: int = 0
    required: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.budget < 1:
            raise ValueError(f"budget is a fraction of accuracy, not {self.budget:g}")
        if self.bits not in (0, 7, 8):
            raise ValueError(f"bits are 7 or 8, or 0 for the target's, not {self.bits}")

    def requires(self, model: ir.Model, ctx: PassContext) -> None:
        """Raise ``PassError`` where there is nothing to measure accuracy with."""
        missing = _missing(ctx.evaluation)
        if missing is not None and self.required:
            raise PassError(
                missing,
                hint="compile a task with an evaluation set whose inputs have the request's "
                "shape, or leave the pass out with --passes",
            )

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Find the order of units, then how many of them may go into 8 bits."""
        at = Location(model.graph.name or "model")
        evaluation = ctx.evaluation
        missing = _missing(evaluation)
        if evaluation is None or missing is not None:
            return PassResult(model, declined=(Note(at, str(missing)),))
        if is_quantised(model):
            return PassResult(model, declined=(Note(at, "it is quantised already"),))
        if model.opset_imports.get("", 0) < LEAST_OPSET:
            reason = f"operator set {model.opset_imports.get('', 0)} is below {LEAST_OPSET}"
            return PassResult(model, declined=(Note(at, reason),))
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        choosing, held_out = evaluation.halves(np.random.default_rng(SEED))
        numbers = Numbers.of(ctx.target, self.bits)
        quantizing = Quantizing.of(model, choosing.requests, numbers)
        if not quantizing.order:
            nothing = Note(at, "nothing in it can be computed in 8 bits")
            return PassResult(model, declined=(nothing, *quantizing.declined))
        chosen = Trials(quantizing, choosing, held_out).choose(self.budget)
        if chosen is None:
            over = Note(
                at, f"any that go into 8 bits cost more than {self.budget:g} of accuracy"
            )
            return PassResult(model, declined=(over, *quantizing.left(0)))
        quantizing.quantize(model, chosen.units)
        made = (Note(at, str(chosen)),)
        return PassResult(model, made=made, declined=quantizing.left(chosen.units))


def _missing(evaluation: Evaluation | None) -> str | None:
    if evaluation is None:
        return NOTHING
    return TOO_FEW if len(evaluation) < 2 else None

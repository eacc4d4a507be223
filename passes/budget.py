"""Passes that spend an accuracy budget, measured on an evaluation set in two halves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.compiler.evaluation import Evaluation
from suture.errors import PassError
from suture.passes.base import GraphPass, PassContext

SEED = 0
"""Of the halves of the evaluation set."""

MOST_SAMPLES = 2048
"""Of a larger evaluation set so many are drawn: half a point is five of each half."""

NOTHING = "there is no evaluation set to measure the accuracy budget with"
TOO_FEW = "an evaluation set of one sample has no second half to agree with the first"


@dataclass(frozen=True)
class BudgetedPass(GraphPass):
    """A pass that changes answers as far as measured accuracy allows.

    Half of the evaluation set chooses how much is done; the other half is looked at
    afterwards, and refuses what costs it more than the budget.

    Attributes:
        budget: How far accuracy, a fraction, may fall.
        required: Whether it is an error that there is nothing to measure accuracy with; the
            model stays as it is otherwise.
    """

    exact: ClassVar[bool] = False

    budget: float = 0.005
    required: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.budget < 1:
            raise ValueError(f"budget is a fraction of accuracy, not {self.budget:g}")

    def requires(self, model: ir.Model, ctx: PassContext) -> None:
        """Raise ``PassError`` where there is nothing to measure accuracy with."""
        found = halves(ctx.evaluation)
        if isinstance(found, str) and self.required:
            raise PassError(
                found,
                hint="compile a task with an evaluation set whose inputs have the request's "
                "shape, or leave the pass out with --passes",
            )


def halves(evaluation: Evaluation | None) -> tuple[Evaluation, Evaluation] | str:
    """Return the half that chooses and the half that is held out, or why there are none."""
    if evaluation is None:
        return NOTHING
    if len(evaluation) < 2:
        return TOO_FEW
    rng = np.random.default_rng(SEED)
    if len(evaluation) > MOST_SAMPLES:
        evaluation = evaluation.of(np.sort(rng.permutation(len(evaluation))[:MOST_SAMPLES]))
    return evaluation.halves(rng)

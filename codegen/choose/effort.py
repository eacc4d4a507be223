"""How much time a compilation may spend on choosing."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import tvm

from suture.codegen.choose.base import BY_FORMULA, Chooser
from suture.codegen.choose.measuring import ByMeasuring, BySearch
from suture.codegen.choose.model import BOOSTED_TREES, ByModel
from suture.compiler.cost.plugin import CostModelPlugin

Effort = Literal[0, 1, 2, 3]
"""0: by formula; 1: by the cost model; 2: the most promising few are measured; 3: searched."""


def chooser_of(
    effort: Effort,
    target: tvm.target.Target,
    learned: Path | None,
    cost: CostModelPlugin = BOOSTED_TREES,
) -> Chooser:
    """Return who chooses the schedules of kernels for a target.

    Args:
        effort: How much time it may take.
        target: What the kernels are for.
        learned: Where a cost model may have been learned.
        cost: The cost model to ask, from effort 1 on.
    """
    if effort == 0:
        return BY_FORMULA
    by_model = ByModel(cost.open(learned))
    if effort == 1:
        return by_model
    if effort == 2:
        return ByMeasuring(target, by_model)
    return BySearch(target, by_model)

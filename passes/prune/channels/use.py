"""A node as the rules see it: an axis is an array of ids, one for each index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

Ids = npt.NDArray[np.int64]
Axes = tuple[Ids, ...]
Tie = tuple[Ids, Ids]


@dataclass(frozen=True)
class Use:
    """A node with the axes of what it reads and makes; None stands for what is not there."""

    node: ir.Node
    inputs: Sequence[Axes | None]
    outputs: Sequence[Axes]

    def read(self, position: int) -> Axes:
        """Return the axes of an input, none of them where it is left out."""
        return (self.inputs[position] or ()) if position < len(self.inputs) else ()

    def axis(self, rank: int, default: int) -> int:
        """Return the attribute ``axis``, counted from the front."""
        return self.node.attributes.get_int("axis", default) % max(rank, 1)

"""Leave out graph outputs that nobody asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.spec import did_you_mean
from suture.errors import Location, PassError
from suture.passes.base import GraphPass, Note, PassContext, PassResult
from suture.passes.prune.dead_nodes import PruneDeadNodes


@dataclass(frozen=True)
class PruneOutputs(GraphPass):
    """Keep the outputs that are named, in the model's order, and what they are made from.

    Before: ``t = Exp(x); y = Relu(x)``, both outputs, with ``keep=y``.
    After: ``y = Relu(x)``. Inputs stay, even if nothing reads them any more.

    Attributes:
        keep: Names of outputs, joined by ``+``; all where it is empty.
    """

    name: ClassVar[str] = "prune-outputs"
    narrows: ClassVar[bool] = True

    keep: str = ""

    def __post_init__(self) -> None:
        if self.keep and not all(self.keep.split("+")):
            raise ValueError("keep is the names of outputs, joined by +")

    def requires(self, model: ir.Model, ctx: PassContext) -> None:
        """Raise ``PassError`` for a name that no output has."""
        known = [str(value.name) for value in model.graph.outputs]
        for name in filter(None, self.keep.split("+")):
            if name not in known:
                raise PassError(
                    f"the model has no output {name!r}" + did_you_mean(name, known),
                    at=Location(model.graph.name or "model", None, name),
                )

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Take the others off the list, and away what only they needed."""
        kept, graph = self.keep.split("+"), model.graph
        at = graph.name or "model"
        if not self.keep:
            told = Note(Location(at), "no output is named with keep")
            return PassResult(model, declined=(told,))
        gone = [value for value in graph.outputs if value.name not in kept]
        if not gone:
            return PassResult(model)
        left = [value for value in graph.outputs if value.name in kept]
        graph.outputs.clear()
        graph.outputs.extend(left)
        made = tuple(
            Note(Location(at, None, value.name), "nobody asked for it") for value in gone
        )
        return PassResult(model, made=made + PruneDeadNodes().apply(model, ctx).made)

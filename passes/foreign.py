"""Let a pass of onnx_ir or onnxscript stand in a pipeline of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.errors import Location
from suture.passes.base import GraphPass, Note, PassContext, PassResult


@dataclass(frozen=True, init=False)
class ForeignPass(GraphPass):
    """A pass of another library, under the name of its entry point."""

    name: ClassVar[str] = "foreign"

    def __init__(self, name: str, inner: ir.passes.PassBase) -> None:
        object.__setattr__(self, "title", name)
        object.__setattr__(self, "inner", inner)

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Run the pass; what it says of itself is only whether it changed the model."""
        inner: ir.passes.PassBase = self.__dict__["inner"]
        result = inner(model)
        made = (Note(Location(model.graph.name or "model"), "changed"),) * result.modified
        return PassResult(result.model, made=made)

    def __str__(self) -> str:
        return str(self.__dict__["title"])

"""Let a pass of onnx_ir or onnxscript stand in a pipeline of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import onnx_ir as ir

from suture.errors import Location
from suture.passes.base import GraphPass, Note, PassContext, PassResult


@dataclass(frozen=True)
class ForeignPass(GraphPass):
    """A pass of another library, under the name of its entry point.

    Two are equal where they print the same.

    Attributes:
        title: Name of the entry point.
        inner: The pass itself.
        options: What it was made with besides defaults, as text.
    """

    name: ClassVar[str] = "foreign"
    title: str
    inner: ir.passes.PassBase = field(compare=False)
    options: tuple[tuple[str, str], ...] = ()

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Run the pass; what it says of itself is only whether it changed the model."""
        result = self.inner(model)
        made = (Note(Location(model.graph.name or "model"), "changed"),) * result.modified
        return PassResult(result.model, made=made)

    def __str__(self) -> str:
        options = ",".join(f"{key.replace('_', '-')}={text}" for key, text in self.options)
        return self.title + (f"{{{options}}}" if options else "")

"""Find out shapes and types that the model does not tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.model import run_inference
from suture.passes.base import GraphPass, Note, PassContext, PassResult, note


@dataclass(frozen=True)
class InferShapes(GraphPass):
    """Give each value the shape and type that the operators before it decide.

    Before: ``t = MatMul(x, w)``, of t nothing known.
    After: the same, t is float32 of ``[2, 3]``.
    What is rewritten only over certain axes is not seen otherwise. The inference is onnx's.
    """

    name: ClassVar[str] = "infer-shapes"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Infer, and note what is known of more values than before."""
        before = {
            value: _known(value) for node in model.graph.all_nodes() for value in node.outputs
        }
        run_inference(model)
        made: list[Note] = []
        for value, known in before.items():
            node = value.producer()
            if node is not None and _known(value) != known:
                made.append(note(node, f"{value.name} is {value.type}{value.shape}"))
        return PassResult(model, made=tuple(made))


def _known(value: ir.Value) -> tuple[str, str]:
    """Return what is known of a value, in a form that compares."""
    return str(value.type), str(value.shape)

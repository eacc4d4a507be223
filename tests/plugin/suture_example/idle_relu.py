"""Remove a Relu over what is never negative."""

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import GraphPass, PassContext, PassResult, note

NEVER_NEGATIVE = frozenset({"Abs", "Exp", "Relu", "Softmax", "Softplus"})


@dataclass(frozen=True)
class RemoveIdleRelu(GraphPass):
    """Delete Relu where nothing is negative.

    Before: ``t = Softplus(x); u = Relu(t); y = Neg(u)``.
    After: ``t = Softplus(x); y = Neg(t)``.

    Attributes:
        also: Further operators that are never negative in this model, joined by ``+``.
    """

    name: ClassVar[str] = "remove-idle-relu"
    after: ClassVar[tuple[str, ...]] = ("remove-identities",)
    also: str = ""

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Rewire the readers of each such Relu to its input."""
        made, declined = [], []
        for node in [node for node in model.graph if node.op_type == "Relu"]:
            source, result = node.inputs[0], node.outputs[0]
            before = source.producer().op_type if source.producer() else "an input"
            if before not in NEVER_NEGATIVE and before not in self.also.split("+"):
                declined.append(note(node, f"{before} may be negative"))
            elif result.is_graph_output():
                declined.append(note(node, "it names a graph output"))
            else:
                made.append(note(node, f"{before} is never negative"))
                result.replace_all_uses_with(source)
                model.graph.remove(node, safe=True)
        return PassResult(model, made=tuple(made), declined=tuple(declined))

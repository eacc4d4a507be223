"""The simplifier of the onnxsim project, as a pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnxsim

from suture.errors import Location
from suture.passes.base import GraphPass, Note, PassContext, PassResult, note


@dataclass(frozen=True)
class Simplify(GraphPass):
    """Fold constants and fuse as onnxsim does, for comparison with our own passes.

    Before: ``s = Shape(x); r = Reshape(x, s)``.
    After: whatever onnxsim makes of it, here nothing but ``x``.
    Our own checks stand in for onnxsim's, which are off. A model that it leaves alone, by the
    operators and names of the nodes, stays the object it was.
    """

    name: ClassVar[str] = "simplify"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Hand the model over as a protobuf, and take the graph that comes back."""
        before = [(node.op_type, node.name) for node in model.graph]
        loaded = ir.external_data.load_to_model(model)
        simplified, _ = onnxsim.simplify(ir.to_proto(loaded), check_n=0)
        graph = ir.from_proto(simplified).graph
        after = {(node.op_type, node.name) for node in graph}
        if len(before) == graph.num_nodes() and set(before) == after:
            return PassResult(model)
        gone = [node for node in model.graph if (node.op_type, node.name) not in after]
        made = tuple(note(node, "onnxsim took it away or changed it") for node in gone)
        model.graph = graph
        changed = Note(Location(graph.name or "model"), "onnxsim changed the graph")
        return PassResult(model, made=made or (changed,))

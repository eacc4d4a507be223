"""Remove nodes that hand their input on unchanged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, constant_of, note
from suture.passes.each_graph import EachGraphPass, Rewritten

PASSES_ON = frozenset({"Identity", "Dropout"})
SHAPED = frozenset({"Resize", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Cast"})
"""Operators that do nothing where shape and type stay as they are."""


@dataclass(frozen=True)
class RemoveIdentities(EachGraphPass):
    """Delete Identity, Dropout at inference, and casts, resizes and reshapes to the same.

    Before: ``t = Identity(x); y = Relu(t)``.
    After: ``y = Relu(x)``.
    """

    name: ClassVar[str] = "remove-identities"

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewire the readers of each such node to its input."""
        made, declined = [], []
        for node in list(graph):
            why = does_nothing(node)
            if why is None:
                continue
            source, result = node.inputs[0], node.outputs[0]
            assert source is not None
            if any(value.uses() or value.is_graph_output() for value in node.outputs[1:]):
                declined.append(note(node, "a second output is read"))
                continue
            if result.is_graph_output():
                maker = source.producer()
                if maker is None or maker.graph is not graph or source.is_graph_output():
                    declined.append(note(node, "it names a graph output"))
                    continue
                name, result.name = result.name, None
                source.name = name
                source.type = result.type or source.type
                source.shape = source.shape if result.shape is None else result.shape
                graph.outputs[graph.outputs.index(result)] = source
            made.append(note(node, why))
            result.replace_all_uses_with(source)
            graph.remove(node, safe=True)
        return made, declined


def does_nothing(node: ir.Node) -> str | None:
    """Return why a node may go, or None where it may not."""
    if node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
        return None
    if node.op_type in PASSES_ON:
        training = node.inputs[2] if len(node.inputs) > 2 else None
        return "passes its input on" if training is None else None
    source, result = node.inputs[0], node.outputs[0]
    if node.op_type not in SHAPED or source.dtype is None or source.dtype != result.dtype:
        return None
    if source.shape is None or result.shape is None or _resamples(node):
        return None
    static = all(isinstance(dim, int) for dim in source.shape)
    if node.op_type != "Cast" and not (static and source.shape == result.shape):
        return None
    return "shape and type stay as they are"


def _resamples(node: ir.Node) -> bool:
    """Whether a Resize may sample elsewhere though the size stays: floor(8 * 1.1) is 8."""
    if node.op_type != "Resize":
        return False
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    if mode == "tf_crop_and_resize":
        return True
    scales = node.inputs[1 if len(node.inputs) == 2 else 2]  # opset 10: no roi
    numbers = constant_of(scales)
    if numbers is None:
        return scales is not None
    return bool((numbers.numpy() != 1).any())

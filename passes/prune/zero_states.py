"""Remove initial states of recurrent layers that are zero anyway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, constant_of, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.recognise.relayout import LAYOUTS
from suture.passes.recognise.values import DEFAULT_DOMAINS

STATES = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}
"""Which inputs are initial states."""
KEEPS_ZERO = LAYOUTS | {"Expand", "Slice", "Tile", "Identity", "Cast"}
"""Operators whose result is zero where their first input is."""


@dataclass(frozen=True)
class RemoveZeroStates(EachGraphPass):
    """Let an LSTM, GRU or RNN start from zero by itself, where it is handed zeros.

    Before: ``h = Expand(0, shape); y = GRU(x, w, r, b, lengths, h)``.
    After: ``y = GRU(x, w, r, b, lengths)``; what computed the shape goes as dead.
    """

    name: ClassVar[str] = "remove-zero-states"
    after: ClassVar[tuple[str, ...]] = ("fold-constants",)

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Look at each recurrent layer."""
        made, declined = [], []
        for node in graph:
            if node.domain not in DEFAULT_DOMAINS or node.op_type not in STATES:
                continue
            for position in STATES[node.op_type]:
                state = node.inputs[position] if position < len(node.inputs) else None
                if state is None:
                    continue
                if is_zero(state):
                    made.append(note(node, f"{state.name} is zero, as it is by default"))
                    node.replace_input_with(position, None)
                else:
                    declined.append(note(node, f"{state.name} may be another state than zero"))
        return made, declined


def is_zero(value: ir.Value) -> bool:
    """Whether a value is zero whatever the inputs are."""
    tensor, node = constant_of(value), value.producer()
    if tensor is not None:
        return not tensor.numpy().any()
    if node is None or node.domain not in DEFAULT_DOMAINS:
        return False
    if node.op_type == "ConstantOfShape":
        given = node.attributes.get_tensor("value", None)
        return given is None or not given.numpy().any()
    source = node.inputs[0] if node.op_type in KEEPS_ZERO else None
    return source is not None and is_zero(source)

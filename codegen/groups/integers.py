"""Operators that only move numbers or choose the greatest, done to quantised numbers.

Before: DequantizeLinear → MaxPool → QuantizeLinear of the same scale. After: MaxPool. And a
QuantizeLinear behind a Concat is done to each part, which has a quarter of the bytes then.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.quantized import INTEGERS, dequantized, quanta
from suture.passes.recognise.values import DEFAULT_DOMAINS

MOVING = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")


def move_integers(model: ir.Model) -> int:
    """Put such operators in front of the DequantizeLinear, in place; return how many."""
    moved = 0
    for node in list(model.graph):
        if node.graph is None or node.op_type != "QuantizeLinear":
            continue
        out = quanta(node, node.outputs[0])
        if out is None or out.scale.size != 1 or out.value.dtype not in INTEGERS:
            continue
        source = node.inputs[0]
        maker = None if source is None else source.producer()
        if source is None or maker is None or maker.domain not in DEFAULT_DOMAINS:
            continue
        alone = len(list(source.uses())) == 1 and not source.is_graph_output()
        if alone and maker.op_type == "Concat":
            moved += _quantize_parts(node, maker)
        elif maker.op_type in MOVING and len(maker.outputs) == 1:
            moved += _skip(node, maker)
    return moved


def _skip(node: ir.Node, maker: ir.Node) -> bool:
    """Do an operator to quantised numbers, if those behind it mean the same."""
    held, out = dequantized(maker.inputs[0]), quanta(node, node.outputs[0])
    if held is None or out is None or held.value.dtype != out.value.dtype:
        return False
    if not (np.array_equal(held.scale, out.scale) and np.array_equal(held.zero, out.zero)):
        return False
    made = ir.node(
        maker.op_type,
        [held.value, *maker.inputs[1:]],
        attributes=dict(maker.attributes),
        name=f"{maker.name}.quantized",
    )
    _put(node, [made])
    return True


def _quantize_parts(node: ir.Node, maker: ir.Node) -> bool:
    """Quantise what a Concat joins, if some of it was quantised before."""
    if not any(dequantized(part) for part in maker.inputs):
        return False
    parts = [
        ir.node(
            "QuantizeLinear",
            [part, *node.inputs[1:]],
            attributes=dict(node.attributes),
            name=f"{node.name}.{number}",
        )
        for number, part in enumerate(maker.inputs)
    ]
    for part, old in zip(parts, maker.inputs, strict=True):
        assert old is not None
        part.outputs[0].name = f"{node.outputs[0].name}.{part.name}"
        part.outputs[0].shape, part.outputs[0].type = old.shape, node.outputs[0].type
    joined = ir.node(
        "Concat",
        [part.outputs[0] for part in parts],
        attributes=dict(maker.attributes),
        name=f"{maker.name}.quantized",
    )
    _put(node, [*parts, joined])
    return True


def _put(node: ir.Node, made: list[ir.Node]) -> None:
    """Put nodes in place of one; the last makes its output."""
    assert node.graph is not None
    old, new = node.outputs[0], made[-1].outputs[0]
    new.name, new.shape, new.type = old.name, old.shape, old.type
    ir.convenience.replace_nodes_and_values(node.graph, node, [node], made, [old], [new])

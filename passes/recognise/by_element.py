"""Nodes that work element by element, and who alone reads a value."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from suture.passes.base import constant_of
from suture.passes.recognise.affine import AFFINE
from suture.passes.recognise.row_wise import UNARY
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_constant

FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16)
SCALES = frozenset({"Mul", "Div"})


def data_input(node: ir.Node) -> int | None:
    """Return which input a node works on element by element; None where it does not.

    All its other inputs are constant.
    """
    if node.domain not in DEFAULT_DOMAINS or len(node.outputs) != 1:
        return None
    if node.op_type not in UNARY and node.op_type not in AFFINE:
        return None
    given = [each for each in enumerate(node.inputs) if each[1] is not None]
    places = [place for place, value in given if not is_constant(value)]
    return places[0] if len(places) == 1 else None


def affine_input(node: ir.Node) -> int | None:
    """Return which input a node scales or shifts by finite floating-point numbers, or None."""
    if node.op_type not in AFFINE or node.outputs[0].dtype not in FLOATS:
        return None
    place = data_input(node)
    if place is None or (node.op_type == "Div" and place == 1):
        return None
    number = constant_of(node.inputs[1 - place])
    return place if number is not None and np.isfinite(number.numpy()).all() else None


def only_reader(value: ir.Value, place: int | None = None) -> tuple[ir.Node, int] | None:
    """Return the node that alone reads a value, and as which input; None where others do.

    Args:
        value: Read in its own graph only, not in a subgraph, and no graph output.
        place: As which input it must be read, where that matters.
    """
    uses, maker = list(value.uses()), value.producer()
    if len(uses) != 1 or value.is_graph_output():
        return None
    (node, found) = uses[0].node, uses[0].idx
    if maker is not None and node.graph is not maker.graph:
        return None
    if node.domain not in DEFAULT_DOMAINS or place not in (None, found):
        return None
    return node, found

"""Exchange what works element by element with what stands behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant
from suture.passes.recognise.by_element import SCALES, affine_input, data_input
from suture.passes.recognise.relayout import LAYOUTS, moved
from suture.passes.recognise.values import numbers_of

Array = npt.NDArray[Any]
AVERAGES = frozenset({"GlobalAveragePool", "Resize"})
"""Of sums whose factors add up to one, so that an offset may be added before or after."""
POSITIVE = frozenset({"MaxPool", "GlobalMaxPool", "Relu"})
"""Operators that a factor above zero commutes with."""


def exchange(
    first: ir.Node, behind: Sequence[ir.Node], names: Names, *, grows: bool = False
) -> str | None:
    """Put a node behind others, all or nothing; return why not, or None where done.

    Args:
        first: One that works element by element; only the next node reads it.
        behind: What stands behind it, each read by the next alone.
        names: The graph's names.
        grows: Whether its constants may take more elements than before.
    """
    found = plan(first, behind, grows=grows)
    if isinstance(found, str):
        return found
    for (node, position), array in found.items():
        _give(node, position, array, names)
    place = data_input(first)
    assert place is not None
    _rewire(first, place, behind, names)
    return None


def plan(
    first: ir.Node, behind: Sequence[ir.Node], *, grows: bool = False
) -> dict[tuple[ir.Node, int], Array | None] | str:
    """Return which inputs become which constants when nodes are exchanged, or why not."""
    place = data_input(first)
    assert place is not None
    constants = _constants(first, place)
    if any(_broadcasts(array, first, place) for array in constants.values()):
        return "the constant may give the value its shape"
    before = sum(array.size for array in constants.values())
    given: dict[tuple[ir.Node, int], Array | None] = {}
    for node in behind:
        reason = _obstacle(first, place, constants, node)
        if reason is not None:
            return reason
        if node.op_type == "Clip":
            for position, limit in enumerate(_undone(first, place, constants, node), start=1):
                if limit is not None or position < len(node.inputs):
                    given[node, position] = limit
        after = {position: moved(array, node) for position, array in constants.items()}
        constants = {p: each for p, each in after.items() if not isinstance(each, str)}
        if len(constants) < len(after):
            return next(each for each in after.values() if isinstance(each, str))
    if not grows and sum(array.size for array in constants.values()) > before:
        return "the constant would grow"
    for position, array in constants.items():
        old = numbers_of(first.inputs[position])
        if old is None or old.shape != array.shape:
            given[first, position] = array
    return given


def commutes(first: ir.Node, node: ir.Node) -> bool:
    """Whether a node's operator is one that ``first`` may be put behind at all."""
    if node.op_type in LAYOUTS:
        return True
    if node.op_type == "Resize" and node.attributes.get_string("mode", "nearest") == "nearest":
        return first.op_type != "Cast" and not _crops(node)
    known = AVERAGES | POSITIVE | {"AveragePool", "Pad", "Clip"}
    return affine_input(first) is not None and node.op_type in known and not _crops(node)


def _obstacle(
    first: ir.Node, place: int, constants: dict[int, Array], node: ir.Node
) -> str | None:
    """Return what keeps arithmetic from another node that computes, or None."""
    if node.op_type in LAYOUTS or node.op_type in AVERAGES or len(constants) != 1:
        return None
    (number,) = constants.values()
    if len(node.outputs) > 1:
        return f"{node.op_type} has a second output"
    if node.op_type == "Clip":
        limits = [numbers_of(value) for value in node.inputs[1:] if value is not None]
        if any(limit is None for limit in limits) or {"min", "max"} & set(node.attributes):
            return "the bounds are not constant inputs"
        if number.size > 1 or (first.op_type in SCALES and not number.all()):
            return "the bounds are the same for all channels"
        return None
    if first.op_type not in SCALES:
        return f"an offset cannot move past {node.op_type}"
    if node.op_type == "Pad" and not _pads_zeros(node):
        return "a scale cannot move past padding that is not zero"
    if node.op_type in POSITIVE and not (number > 0).all():
        return f"a scale that is not positive cannot move past {node.op_type}"
    return None


def _constants(first: ir.Node, place: int) -> dict[int, Array]:
    """Return the numbers a node reads besides its data, by position."""
    return {
        position: np.asarray(numbers_of(value))
        for position, value in enumerate(first.inputs)
        if value is not None and position != place
    }


def _broadcasts(array: Array, first: ir.Node, place: int) -> bool:
    """Whether a constant may give what it meets more elements than that has."""
    value, result = first.inputs[place], first.outputs[0]
    if value is None or value.shape is None or array.ndim > len(value.shape):
        return True
    return array.size > 1 and value.shape != result.shape


def _crops(node: ir.Node) -> bool:
    """Whether a Resize writes a number of its own beside the image."""
    return (
        node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        == "tf_crop_and_resize"
    )


def _pads_zeros(node: ir.Node) -> bool:
    """Whether a Pad writes zeros."""
    value = node.inputs[2] if len(node.inputs) > 2 else None
    number = np.zeros(1) if value is None else numbers_of(value)
    constant = node.attributes.get_string("mode", "constant") == "constant"
    return (
        constant
        and "value" not in node.attributes
        and number is not None
        and not any(number.flat)
    )


def _undone(
    first: ir.Node, place: int, constants: dict[int, Array], clip: ir.Node
) -> list[Array | None]:
    """Return the bounds of a Clip as they are before scalar arithmetic."""
    (array,) = constants.values()
    number = float(array.reshape(()))
    limits: list[Array | None] = []
    for position in (1, 2):
        value = clip.inputs[position] if len(clip.inputs) > position else None
        limit = numbers_of(value)
        if limit is None:
            limits.append(None)
            continue
        bound = float(limit.reshape(()))
        match first.op_type:
            case "Mul":
                bound = bound / number
            case "Div":
                bound = bound * number
            case "Add":
                bound = bound - number
            case _:
                bound = bound + number if place == 0 else number - bound
        limits.append(np.asarray(bound).astype(limit.dtype))
    turned = number < 0 if first.op_type in SCALES else first.op_type == "Sub" and place == 1
    return limits[::-1] if turned else limits


def _give(node: ir.Node, position: int, array: Array | None, names: Names) -> None:
    """Put a new constant, or nothing, in place of an input."""
    assert isinstance(node.graph, ir.Graph)
    value = None
    if array is not None:
        stem = node.name or node.outputs[0].name or node.op_type
        value = add_constant(node.graph, names.free(f"{stem}.constant"), array)
    if len(node.inputs) <= position:
        node.resize_inputs(position + 1)
    node.replace_input_with(position, value)


def _rewire(first: ir.Node, place: int, behind: Sequence[ir.Node], names: Names) -> None:
    """Let the others read what the first reads, and the first read the last of them.

    What leaves keeps its name; what the others make now is something new.
    """
    graph, source = first.graph, first.inputs[place]
    assert graph is not None
    assert source is not None
    middle, last = first.outputs[0], behind[-1].outputs[0]
    middle.type = middle.type or last.type
    last.replace_all_uses_with(middle, replace_graph_outputs=True)
    behind[0].replace_input_with(0, source)
    first.replace_input_with(place, last)
    name = last.name
    for node in behind:
        value = node.outputs[0]
        value.name, value.type = names.free(f"{value.name}.before"), source.type
    middle.name, middle.shape = name, last.shape
    graph.remove(first)
    graph.insert_after(behind[-1], first)

"""Make one of two nodes that only bound values."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, put
from suture.passes.recognise.by_element import FLOATS, only_reader
from suture.passes.recognise.relayout import LAYOUTS
from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of

RANGES = {
    "Sigmoid": (0.0, 1.0),
    "Softmax": (0.0, 1.0),
    "HardSigmoid": (0.0, 1.0),
    "Tanh": (-1.0, 1.0),
    "Abs": (0.0, inf),
    "Exp": (0.0, inf),
}
"""Between which numbers the results of operators lie."""

EXTREMES = frozenset({"Max", "Min"})
Bounds = tuple[float, float]


@dataclass(frozen=True)
class ComposeClips(EachGraphPass):
    """Make Clips and Relus that follow each other one, and take out those that do nothing.

    So with Max and Min of a value and one number. onnxscript's rules for this are not used:
    they give another answer where bounds do not meet, as in ``Clip(Clip(x, 0, 1), 2, 3)``.

    Before: ``t = Relu(x); y = Clip(t, -1, 6)``, or ``t = Sigmoid(x); y = Clip(t, 0, 1)``.
    After: ``y = Clip(x, 0, 6)``, and ``y = Sigmoid(x)``.
    """

    name: ClassVar[str] = "compose-clips"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "sink-arithmetic")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Compose from the first node on, so that a chain of any length becomes one."""
        made, declined = [], []
        for node in list(graph):
            bounds = _bounds(node)
            first = _data(node).producer() if bounds else None
            if first is None or bounds is None or first.graph is not node.graph:
                continue
            before = _range(first)
            if before is None:
                continue
            told = note(node, f"composed with {first.name or first.op_type}")
            reason = _compose(graph, names, (first, before), (node, bounds))
            if reason is None:
                made.append(told)
            elif reason:
                declined.append(note(node, reason))
        return made, declined


def _bounds(node: ir.Node) -> Bounds | None:
    """Return between which numbers a Clip or Relu brings values, or None for anything else."""
    if node.domain not in DEFAULT_DOMAINS or node.outputs[0].dtype not in FLOATS:
        return None
    if node.op_type == "Relu":
        return 0.0, inf
    if node.op_type in EXTREMES:
        return _extreme(node)
    if node.op_type != "Clip" or {"min", "max"} & set(node.attributes):
        return None
    found = []
    for position, free in ((1, -inf), (2, inf)):
        value = node.inputs[position] if len(node.inputs) > position else None
        numbers = None if value is None else numbers_of(value)
        if value is not None and numbers is None:
            return None
        found.append(free if numbers is None else float(numbers.reshape(())))
    return None if np.isnan(found).any() else (min(found), found[1])  # the upper one wins


def _extreme(node: ir.Node) -> Bounds | None:
    """Return the bounds of a Max or Min with one number, or None for anything else."""
    numbers = [each for each in map(numbers_of, node.inputs) if each is not None]
    if len(node.inputs) != 2 or len(numbers) != 1 or numbers[0].size != 1:
        return None
    source, number = _data(node), float(numbers[0].reshape(()))
    if source.shape is None or numbers[0].ndim > len(source.shape) or np.isnan(number):
        return None
    return (number, inf) if node.op_type == "Max" else (-inf, number)


def _data(node: ir.Node) -> ir.Value:
    """Return what a node bounds."""
    known = node.op_type in EXTREMES and numbers_of(node.inputs[0]) is not None
    value = node.inputs[int(known)]
    assert value is not None
    return value


def _range(node: ir.Node) -> Bounds | None:
    """Return between which numbers a node's results lie anyway, or None where not known."""
    while (found := _bounds(node)) is None:
        value = node.inputs[0] if node.inputs else None
        if node.domain not in DEFAULT_DOMAINS or value is None:
            return None
        if node.op_type == "Cast" and value.dtype == ir.DataType.UINT8:
            return 0.0, 255.0
        maker = value.producer()
        if maker is None or not _keeps_range(node):
            return RANGES.get(node.op_type)
        node = maker
    return found


def _keeps_range(node: ir.Node) -> bool:
    """Whether a node's results lie between its input's."""
    if node.op_type == "Resize":
        crops = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
        means = node.attributes.get_string("mode", "nearest") in ("nearest", "linear")
        return means and crops != "tf_crop_and_resize"
    return node.op_type in LAYOUTS or node.op_type in ("MaxPool", "Gather", "Slice")


def _compose(
    graph: ir.Graph,
    names: Names,
    first: tuple[ir.Node, Bounds],
    second: tuple[ir.Node, Bounds],
) -> str | None:
    """Put one node in place of two; return why not, "" for no gain, or None where done."""
    (node, (low, high)), (after, (least, most)) = first, second
    result = after.outputs[0]
    if least <= low and high <= most and not result.is_graph_output():
        result.replace_all_uses_with(node.outputs[0])
        graph.remove(after, safe=True)
        return None
    if _bounds(node) is None:
        return ""
    if only_reader(node.outputs[0]) is None:
        return "what lies between has other readers"
    bounds = [min(max(bound, least), most) for bound in (low, high)]
    source, dtype = _data(node), result.dtype
    assert dtype is not None
    name = f"{after.name or after.op_type}.composed"
    limits: list[ir.Value | None] = []
    if bounds != [0.0, inf]:
        for bound in bounds:
            number = np.array(bound, dtype.numpy())
            free = names.free(f"{name}.bound")
            limits.append(None if np.isinf(bound) else add_constant(graph, free, number))
    op = "Clip" if limits else "Relu"
    put(graph, [new_node(names, op, [source, *limits], name=name, dtype=dtype)], [node, after])
    return None

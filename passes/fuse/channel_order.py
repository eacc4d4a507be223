"""Fold the order of an image's channels into the first convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import remove_unread
from suture.passes.recognise.by_element import data_input, only_reader
from suture.passes.recognise.relayout import axes_of, perm_of
from suture.passes.recognise.selection import Selection, selected
from suture.passes.recognise.values import DEFAULT_DOMAINS

Array = npt.NDArray[Any]
BESIDE = frozenset({"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"})
"""Operators that do the same to each channel."""


@dataclass(frozen=True)
class FoldChannelOrder(EachGraphPass):
    """Let a Conv read channels as they lie: its weights take the order, or add up copies.

    Before: ``t = Gather<axis=1>(x, [2, 1, 0]); y = Conv(t, w)``.
    After: ``y = Conv(x, w[:, [2, 1, 0]])``.
    A Slice with a step of -1, a Split and Concat, and ``Concat(x, x, x)``, which makes colour
    of a grey image, likewise; also with arithmetic, layouts and pools between.
    """

    name: ClassVar[str] = "fold-channel-order"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "fold-normalization")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Look before each convolution of constant weights."""
        made, declined = [], []
        for conv in list(graph):
            way = _way(conv)
            if way is None:
                continue
            path, selection, axes = way
            told = note(selection.nodes[-1], f"folded into {conv.name or conv.op_type}")
            reason = _fold(conv, path, selection, axes, names)
            if reason is None:
                made.append(told)
                remove_unread(graph, selection.nodes)
            else:
                declined.append(note(selection.nodes[-1], reason))
        return made, declined


def _way(conv: ir.Node) -> tuple[list[ir.Node], Selection, list[int]] | None:
    """Return what lies between a Conv and the order of its channels, that, and their axes.

    The nodes stand in order; the axes are those of what each of them makes.
    """
    if conv.op_type != "Conv" or conv.domain not in DEFAULT_DOMAINS:
        return None
    path: list[ir.Node] = []
    axes: list[int] = []
    value, axis = conv.inputs[0], 1
    while value is not None and only_reader(value) is not None:
        found = selected(value, axis)
        if found is not None:
            return path, found, axes
        node = value.producer()
        before = None if node is None else _axis_before(node, axis)
        if node is None or before is None:
            return None
        path.insert(0, node)
        axes.insert(0, axis)
        value, axis = node.inputs[data_input(node) or 0], before
    return None


def _axis_before(node: ir.Node, axis: int) -> int | None:
    """Return where channels lie in what a node reads, or None where it mixes them."""
    rank = len(node.outputs[0].shape or ())
    if node.domain not in DEFAULT_DOMAINS or not rank:
        return None
    if data_input(node) is not None or (node.op_type in BESIDE and axis == 1):
        return axis
    if node.op_type == "Transpose":
        return perm_of(node, rank)[axis]
    axes = axes_of(node) if node.op_type in ("Squeeze", "Unsqueeze") else None
    if axes is None:
        return None
    if node.op_type == "Unsqueeze":
        kept = [each for each in range(rank) if each not in {a % rank for a in axes}]
        return kept.index(axis) if axis in kept else None
    wide = rank + len(axes)
    return [each for each in range(wide) if each not in {a % wide for a in axes}][axis]


def _fold(
    conv: ir.Node,
    path: list[ir.Node],
    selection: Selection,
    axes: list[int],
    names: Names,
) -> str | None:
    """Let the path read the source; return why not, or None where done."""
    weight, source = constant_of(conv.inputs[1]), selection.source
    if weight is None:
        return "the weights are not constant"
    if conv.attributes.get_int("group", 1) != 1:
        return "the convolution is grouped"
    if len(np.unique(selection.indices)) < selection.size:
        return "it leaves channels out"
    constants = {}
    for node, axis in zip(path, axes, strict=True):
        for position, value in enumerate(node.inputs):
            array = _turned(node, value, axis, selection)
            if isinstance(array, str):
                return array
            if array is not None:
                constants[node, position] = array
    assert isinstance(conv.graph, ir.Graph)
    for (node, position), array in constants.items():
        name = names.free(f"{node.name or node.op_type}.constant")
        node.replace_input_with(position, add_constant(conv.graph, name, array))
    for node, axis in zip(path, axes, strict=True):
        shape = node.outputs[0].shape
        assert shape is not None
        dims = [selection.size if at == axis else dim for at, dim in enumerate(shape)]
        node.outputs[0].shape = ir.Shape(dims)
    old = weight.numpy()
    new = np.zeros((len(old), selection.size, *old.shape[2:]))
    np.add.at(new.swapaxes(0, 1), selection.indices, old.swapaxes(0, 1))
    name = names.free(f"{conv.name or conv.outputs[0].name or conv.op_type}.weight")
    conv.replace_input_with(1, add_constant(conv.graph, name, new.astype(old.dtype)))
    first = path[0] if path else conv
    first.replace_input_with((data_input(first) or 0) if path else 0, source)
    return None


def _turned(
    node: ir.Node, value: ir.Value | None, axis: int, selection: Selection
) -> Array | str | None:
    """Return a constant as it meets the source's channels, None where it stays, or why not."""
    tensor = constant_of(value) if data_input(node) is not None else None
    if tensor is None:
        return None
    array, rank = tensor.numpy(), len(node.outputs[0].shape or ())
    at = axis - (rank - array.ndim)
    if at < 0 or array.shape[at] == 1:
        return None
    first = np.unique(selection.indices, return_index=True)[1]
    turned = array.take(first, at)
    if (turned.take(selection.indices, at) != array).any():
        return "arithmetic between differs from copy to copy"
    return turned

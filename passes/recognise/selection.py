"""Values that are slices of another one along an axis: turned round, repeated, taken apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.recognise.values import DEFAULT_DOMAINS, numbers_of

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Selection:
    """``source.take(indices, axis)``.

    Attributes:
        source: What is taken from.
        axis: Along which axis, counted from the first.
        indices: Which places, in order; a place may come more than once, or not at all.
        nodes: What computes it, in an order in which they can run.
    """

    source: ir.Value
    axis: int
    indices: Indices
    nodes: tuple[ir.Node, ...]

    @property
    def size(self) -> int:
        """How many places the source has."""
        return _size(self.source, self.axis)


def selected(value: ir.Value, axis: int) -> Selection | None:
    """Return what a value is taken from along an axis, as far back as can be followed."""
    node = value.producer()
    if node is None or node.domain not in DEFAULT_DOMAINS or not _size(value, axis):
        return None
    if node.op_type == "Concat":
        return _joined(node, axis)
    source = node.inputs[0] if node.inputs else None
    if source is None or not _size(source, axis):
        return None
    places = _places(node, value, source, axis)
    if places is None or len(places) != _size(value, axis):
        return None
    before = selected(source, axis)
    if before is None:
        return Selection(source, axis, places, (node,))
    return Selection(before.source, axis, before.indices[places], (*before.nodes, node))


def _size(value: ir.Value, axis: int) -> int:
    """Return a value's size along an axis; zero where it is not known."""
    if value.shape is None or axis >= len(value.shape):
        return 0
    size = value.shape[axis]
    return size if isinstance(size, int) else 0


def _joined(node: ir.Node, axis: int) -> Selection | None:
    """Return what all parts of a Concat are taken from, if that is one value."""
    parts = []
    rank = len(node.outputs[0].shape or ())
    if (node.attributes.get_int("axis", 0) or 0) % rank != axis:
        return None
    for value in node.inputs:
        if value is None or not _size(value, axis):
            return None
        whole = Selection(value, axis, np.arange(_size(value, axis)), ())
        parts.append(selected(value, axis) or whole)
    if len({part.source for part in parts}) > 1:
        return None
    nodes = dict.fromkeys(each for part in parts for each in part.nodes)
    indices = np.concatenate([part.indices for part in parts])
    return Selection(parts[0].source, axis, indices, (*nodes, node))


def _places(node: ir.Node, value: ir.Value, source: ir.Value, axis: int) -> Indices | None:
    """Return which places of its first input a node gives, or None where it does more."""
    assert source.shape is not None
    rank, every = len(source.shape), np.arange(_size(source, axis))
    given = [numbers_of(each) for each in node.inputs[1:]]
    match node.op_type:
        case "Gather" if given[0] is not None and given[0].ndim == 1:
            along = (node.attributes.get_int("axis", 0) or 0) % rank
            return every[given[0]] if along == axis else None
        case "Split":
            along = (node.attributes.get_int("axis", 0) or 0) % rank
            before = node.outputs[: node.outputs.index(value)]
            sizes = [_size(each, axis) for each in before]
            start = sum(sizes)
            return every[start : start + _size(value, axis)] if along == axis else None
        case "Slice" if len(given) > 1 and all(each is not None for each in given):
            return _sliced([np.asarray(each) for each in given], rank, axis, every)
        case "Tile" if given[0] is not None and given[0].size == rank:
            others = np.delete(given[0], axis)
            return None if (others != 1).any() else np.tile(every, int(given[0][axis]))
        case "Expand" if len(every) == 1 and value.shape is not None:
            grown = [a != b for a, b in zip(source.shape, value.shape[-rank:], strict=False)]
            alone = len(value.shape) == rank and not any(np.delete(grown, axis))
            return np.zeros(_size(value, axis), np.int64) if alone else None
    return None


def _sliced(given: list[Indices], rank: int, axis: int, every: Indices) -> Indices | None:
    """Return the places of a Slice along one axis, or None where it cuts another."""
    starts, ends = given[0], given[1]
    axes = given[2] if len(given) > 2 else np.arange(len(starts))
    steps = given[3] if len(given) > 3 else np.ones(len(starts), np.int64)
    if len(axes) != 1 or int(axes[0]) % rank != axis:
        return None
    return every[int(starts[0]) : int(ends[0]) : int(steps[0])]

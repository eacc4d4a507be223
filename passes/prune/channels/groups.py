"""Which channels are tied to which: the groups that a network can lose as a whole.

Every index of every axis of every value is a thing of its own, until an operator ties it to
others (DepGraph does the same by layers; Fang et al., CVPR 2023). What is tied, through any
number of operators, is a group: to cut it is to cut all its indices. A group is free unless
one of its indices belongs to a graph input or output, or to an operator that needs it whole.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.prune.channels.rules import ties
from suture.passes.prune.channels.use import Axes, Ids, Use


@dataclass(frozen=True, kw_only=True)
class ChannelGroups:
    """The groups of a model.

    Attributes:
        axes: By name of a value, for each axis the group of each index; an axis whose size
            is not known has no indices.
        free: ``(groups,)``: whether a group may be cut.
    """

    axes: Mapping[str, Axes]
    free: npt.NDArray[np.bool_]

    def of(self, value: ir.Value | None) -> Axes:
        """Return the groups along each axis of a value."""
        return self.axes.get(value.name or "", ()) if value is not None else ()


def find_groups(model: ir.Model, fewer: tuple[ir.Value, int] | None = None) -> ChannelGroups:
    """Return the groups of a model whose shapes are inferred.

    Args:
        model: The model.
        fewer: A value, and an axis of it, of which whoever reads it, or is answered it, does
            not need all.
    """
    graph = model.graph
    axes, count = _numbered(graph)

    def of(value: ir.Value) -> Axes:
        return axes.get(value.name or "", ())

    spared = np.zeros(0, np.int64) if fewer is None else of(fewer[0])[fewer[1]]
    whole = [ids for value in graph.inputs for ids in of(value)]
    whole += [np.setdiff1d(ids, spared) for value in graph.outputs for ids in of(value)]
    tied = []
    for node in graph:
        inputs = [None if value is None else of(value) for value in node.inputs]
        use = Use(node, inputs, [of(value) for value in node.outputs if value.name])
        pairs = list(ties(use)) if _is_known(use) else []
        tied += pairs
        mentioned = _joined([ids for pair in pairs for ids in pair])
        touched = _joined(
            [ids for each in (*filter(None, inputs), *use.outputs) for ids in each]
        )
        reads = fewer is not None and fewer[0] in node.inputs
        known = [mentioned, spared] if reads else [mentioned]
        whole.append(np.setdiff1d(touched, _joined(known)))
        whole += [ids for value in _captured(node) for ids in of(value)]
    left, right = (_joined([pair[side] for pair in tied]) for side in (0, 1))
    group = components(count, left, right)
    free = np.ones(int(group.max(initial=-1)) + 1, bool)
    free[group[_joined(whole)]] = False
    return ChannelGroups(
        axes={name: tuple(group[ids] for ids in each) for name, each in axes.items()},
        free=free,
    )


def components(count: int, left: Ids, right: Ids) -> Ids:
    """Return for each of ``count`` ids the number of its connected component, from 0.

    Each id points to the least that it is known to be tied to; pointers are shortened until
    both ends of each edge agree (Shiloach and Vishkin 1982).
    """
    least = np.arange(count)
    while True:
        first, second = least[left], least[right]
        if (first == second).all():
            return np.unique(least, return_inverse=True)[1].reshape(-1)
        low = np.minimum(first, second)
        for ends in (first, second, left, right):
            np.minimum.at(least, ends, low)
        while (least != least[least]).any():
            least = least[least]


def _numbered(graph: ir.Graph) -> tuple[dict[str, Axes], int]:
    """Return ids for every index of every axis, and how many there are."""
    axes: dict[str, Axes] = {}
    count = 0
    made = (value for node in graph for value in node.outputs)
    for value in (*graph.inputs, *graph.initializers.values(), *made):
        if value.name and value.shape is not None and value.name not in axes:
            sizes = [size if isinstance(size, int) else 0 for size in value.shape]
            ends = count + np.cumsum([0, *sizes])
            axes[value.name] = tuple(
                np.arange(start, stop) for start, stop in itertools.pairwise(ends)
            )
            count = int(ends[-1])
    return axes, count


def _is_known(use: Use) -> bool:
    """Whether the ranks of all that a node reads and makes are known."""
    values = (*use.node.inputs, *(value for value in use.node.outputs if value.name))
    return all(value is None or value.shape is not None for value in values)


def _captured(node: ir.Node) -> Iterator[ir.Value]:
    """Yield what the graphs in a node read."""
    for attribute in node.attributes.values():
        graphs = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else []
        if attribute.type == ir.AttributeType.GRAPHS:
            graphs = list(attribute.value)
        for graph in graphs:
            for inner in graph.all_nodes():
                yield from filter(None, inner.inputs)
            yield from graph.outputs


def _joined(arrays: list[Ids]) -> Ids:
    return np.concatenate([np.zeros(0, np.int64), *arrays])

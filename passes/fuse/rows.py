"""Make values of many axes matrices, where a network works on their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple

import onnx_ir as ir

from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.gemm import biased
from suture.passes.making import new_reshape, remove_unread
from suture.passes.recognise.row_wise import is_row_wise, row_inputs
from suture.passes.recognise.values import is_constant, numbers_of, shape_of


@dataclass(frozen=True)
class FlattenRows(EachGraphPass):
    """Let what works on the last axis alone see one axis of rows before it.

    Before: ``t = MatMul(x, w); y = Add(t, b)`` and the like over ``[batch, length, width]``.
    After: the same over ``[batch * length, width]``, between two Reshapes; ``fuse-gemm`` makes
    each pair a Gemm.
    Done to whole regions of such operators, where that makes at least as many Gemms as it
    takes Reshapes. Reshapes that stand at a region's border already are reused.
    """

    name: ClassVar[str] = "flatten-rows"
    after: ClassVar[tuple[str, ...]] = ("fuse-attention", "join-projections")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Find the regions, and rewrite those where it pays."""
        made, declined = [], []
        for region in regions(graph):
            gains = sum(biased(node) is not None for node in region.nodes)
            if not gains:
                continue
            first = note(region.nodes[0], f"{gains} products with a bias become Gemms")
            costs = sum(map(region.costs_entry, region.entries()))
            costs += sum(map(region.costs_exit, region.exits()))
            if gains < costs:
                reason = f"{costs} reshapes for {gains} products"
                declined.append(note(region.nodes[0], reason))
                continue
            region.flatten(graph, names)
            made.append(first)
        return made, declined


class Use(NamedTuple):
    """An input of a node."""

    node: ir.Node
    position: int


@dataclass(frozen=True)
class Region:
    """Nodes that work on rows, each connected to another of them.

    Attributes:
        nodes: In the graph's order.
        reads: What they read row by row, and where.
    """

    nodes: tuple[ir.Node, ...]
    reads: Mapping[Use, ir.Value]

    def entries(self) -> list[ir.Value]:
        """Return what is read and made outside."""
        made = {value for node in self.nodes for value in node.outputs}
        return [value for value in dict.fromkeys(self.reads.values()) if value not in made]

    def exits(self) -> list[ir.Value]:
        """Return what is made inside and read outside."""
        made = [value for node in self.nodes for value in node.outputs]
        return [v for v in made if v.is_graph_output() or any(self.outside(v))]

    def outside(self, value: ir.Value) -> Iterator[Use]:
        """Yield the uses of a value that are no rows of the region."""
        uses = (Use(use.node, use.idx) for use in value.uses())
        yield from (use for use in uses if use not in self.reads)

    def costs_entry(self, value: ir.Value) -> bool:
        """Whether a Reshape must be added for a value that comes in."""
        maker = value.producer()
        alone = not value.is_graph_output() and not any(self.outside(value))
        reshaped = maker is not None and maker.op_type == "Reshape" and alone
        return not (reshaped or is_constant(value))

    def costs_exit(self, value: ir.Value) -> bool:
        """Whether a Reshape must be added for a value that goes out."""
        return value.is_graph_output() or not all(map(_reshapes, self.outside(value)))

    def flatten(self, graph: ir.Graph, names: Names) -> None:
        """Give every value of the region two axes, in place."""
        entries, exits = self.entries(), self.exits()
        outside = {value: list(self.outside(value)) for value in exits}
        flat = {value: _flattened(graph, names, value, self) for value in entries}
        for use, value in self.reads.items():
            if value in flat:
                use.node.replace_input_with(use.position, flat[value])
        makers = (value.producer() for value in entries if not value.uses())
        remove_unread(graph, [maker for maker in makers if maker is not None])
        for node in self.nodes:
            self._drop_axes(graph, names, node)
        shapes = {value: shape_of(value) for value in exits}
        for node in self.nodes:
            for value in node.outputs:
                value.shape = ir.Shape(_two(shape_of(value)))
        for value in exits:
            self._restore(graph, names, value, shapes[value], outside[value])

    def _drop_axes(self, graph: ir.Graph, names: Names, node: ir.Node) -> None:
        """Make attributes and constants of a node fit two axes."""
        if "axis" in node.attributes:
            node.attributes["axis"] = ir.AttrInt64("axis", -1)
        for position, value in enumerate(node.inputs):
            if value is None or Use(node, position) in self.reads or len(shape_of(value)) <= 2:
                continue
            numbers = numbers_of(value)
            assert numbers is not None
            name = names.free(f"{value.name}.row")
            node.replace_input_with(position, add_constant(graph, name, numbers.reshape(-1)))

    def _restore(
        self,
        graph: ir.Graph,
        names: Names,
        value: ir.Value,
        shape: tuple[int, ...],
        uses: list[Use],
    ) -> None:
        """Give those outside the shape that they expect."""
        others = []
        for use in uses:
            if _reshapes(use):
                _fix_target(graph, names, use.node)
            else:
                others.append(use)
        if not others and not value.is_graph_output():
            return
        maker = value.producer()
        assert maker is not None
        back = new_reshape(graph, names, value, shape, name=f"{value.name}.axes")
        graph.insert_after(maker, back)
        for use in others:
            use.node.replace_input_with(use.position, back.outputs[0])
        if value.is_graph_output():
            out = back.outputs[0]
            out.type = value.type
            name, value.name = value.name, names.free(f"{value.name}.rows")
            graph.outputs[graph.outputs.index(value)] = out
            out.name = name


def regions(graph: ir.Graph) -> list[Region]:
    """Return the regions of a graph; those that read one value are one."""
    fit = [node for node in graph if is_row_wise(node)]
    root = {node: node for node in fit}

    def find(node: ir.Node) -> ir.Node:
        while root[node] is not node:
            root[node] = node = root[root[node]]
        return node

    first: dict[ir.Value, ir.Node] = {}
    for use, value in _reads(fit).items():
        maker = value.producer()
        near = maker if maker in root else first.setdefault(value, use.node)
        if near is not None and not is_constant(value):
            root[find(use.node)] = find(near)
    grouped: dict[ir.Node, list[ir.Node]] = {}
    for node in fit:
        grouped.setdefault(find(node), []).append(node)
    return [Region(tuple(nodes), _reads(nodes)) for nodes in grouped.values()]


def _reads(nodes: Iterable[ir.Node]) -> dict[Use, ir.Value]:
    """Return what nodes read row by row."""
    uses = [Use(node, position) for node in nodes for position in row_inputs(node)]
    read = ((use, use.node.inputs[use.position]) for use in uses)
    return {use: value for use, value in read if value is not None}


def _two(shape: Iterable[int]) -> tuple[int, int]:
    *leading, last = shape
    return prod(leading), last


def _flattened(graph: ir.Graph, names: Names, value: ir.Value, region: Region) -> ir.Value:
    """Return a value as a matrix."""
    shape, numbers = _two(shape_of(value)), numbers_of(value)
    if numbers is not None:
        name = names.free(f"{value.name}.rows")
        return add_constant(graph, name, numbers.reshape(shape))
    maker = value.producer()
    source = value
    replaced = maker is not None and not region.costs_entry(value)
    if replaced and maker is not None and maker.inputs[0] is not None:
        source = maker.inputs[0]
        if source.shape is not None and source.shape.is_static() and shape_of(source) == shape:
            return source
    node = new_reshape(graph, names, source, shape, name=f"{value.name}.rows")
    node.outputs[0].type = value.type
    if maker is not None and maker.graph is graph:
        graph.insert_after(maker, node)
    else:
        graph.insert_before(graph[0], node)
    return node.outputs[0]


def _reshapes(use: Use) -> bool:
    """Whether a use gives a value another shape, which is fixed."""
    shape = use.node.outputs[0].shape
    return (
        use.node.op_type == "Reshape"
        and use.position == 0
        and is_constant(use.node.inputs[1])
        and shape is not None
        and shape.is_static()
    )


def _fix_target(graph: ir.Graph, names: Names, node: ir.Node) -> None:
    """Let a Reshape copy no size from its input."""
    numbers = numbers_of(node.inputs[1])
    if numbers is not None and not numbers.all():
        shape = add_constant(
            graph,
            names.free(f"{node.name}.shape"),
            numbers.dtype.type(shape_of(node.outputs[0])),
        )
        node.replace_input_with(1, shape)

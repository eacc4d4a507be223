"""Pairs of products whose hidden columns can be computed a block at a time.

``y = f(x W + b) V + c`` is c and the sum over blocks of columns of ``f(x W_j + b_j) V_j``, as
long as f works on each element alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of
from suture.passes.recognise.row_wise import BINARY, UNARY
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_fixed, is_matrix, shape_of

BLOCK = "@columns"
"""Stands in the names of nodes that compute a block."""

WEIGHT, BIAS = 1, 2


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Products that make hidden columns, what is done to them, and the product behind.

    Attributes:
        nodes: The first products and the nodes between, in an order in which they can run.
        last: The product behind.
        width: Hidden columns.
    """

    nodes: tuple[ir.Node, ...]
    last: ir.Node
    width: int

    @property
    def output(self) -> str:
        """Name of what it computes."""
        return str(self.last.outputs[0].name)


def is_block(node: ir.Node) -> bool:
    """Whether a node was made by cutting another into blocks of columns."""
    return BLOCK in (node.name or "")


def find_pairs(graph: ir.Graph) -> Iterator[Pair]:
    """Yield the pairs of a graph, in its order."""
    order = {node: at for at, node in enumerate(graph)}
    for node in graph:
        if not _is_product(node) or is_block(node):
            continue
        hidden = node.inputs[0]
        assert hidden is not None
        width = shape_of(hidden)[-1]
        nodes = _before(hidden, width, node)
        if nodes:
            ordered = tuple(sorted(nodes, key=order.__getitem__))
            yield Pair(nodes=ordered, last=node, width=width)


def _before(hidden: ir.Value, width: int, last: ir.Node) -> set[ir.Node]:
    """Return what leads to hidden columns; nothing where a block cannot be computed alone."""
    found: set[ir.Node] = set()
    pending = [hidden]
    while pending:
        value = pending.pop()
        node = value.producer()
        if node is None or is_block(node):
            return set()
        if not is_fixed(value) or shape_of(value)[-1] != width:
            return set()
        if node in found:
            continue
        found.add(node)
        if _is_product(node):
            continue
        read = _elements(node, width)
        if not read:
            return set()
        pending += read
    inside = found | {last}
    alone = all(
        not node.outputs[0].is_graph_output()
        and all(use.node in inside for use in node.outputs[0].uses())
        for node in found
    )
    return found if alone and _reads_once(last, found) else set()


def _reads_once(last: ir.Node, found: set[ir.Node]) -> bool:
    """Whether what is computed in blocks is read by the last product as what it multiplies."""
    return all(
        use.idx == 0 for node in found for use in node.outputs[0].uses() if use.node is last
    )


def _is_product(node: ir.Node) -> bool:
    """Whether a node multiplies rows by a constant matrix that nothing else reads."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in ("Gemm", "MatMul"):
        return False
    data, weight = node.inputs[:2]
    if node.attributes.get_int("transA", 0) or not is_fixed(data) or not is_matrix(weight):
        return False
    bias = node.inputs[BIAS] if len(node.inputs) > BIAS else None
    known = bias is None or constant_of(bias) is not None
    return known and weight is not None and len(weight.uses()) == 1 and len(shape_of(data)) > 1


def _elements(node: ir.Node, width: int) -> list[ir.Value]:
    """Return what an operator on elements reads besides constants, or nothing for others."""
    if node.domain not in DEFAULT_DOMAINS or node.op_type not in UNARY | BINARY:
        return []
    read = []
    for value in filter(None, node.inputs):
        if constant_of(value) is None:
            read.append(value)
        elif not is_fixed(value) or (shape_of(value) or (1,))[-1] not in (1, width):
            return []
    return read


def write_blocks(graph: ir.Graph, pair: Pair, count: int) -> set[ir.Node]:
    """Compute a pair a block of columns at a time, in place; return the nodes that do.

    Args:
        graph: Its graph.
        pair: The pair.
        count: How many blocks; divides the width.
    """
    names, size = Names(graph), pair.width // count
    total: ir.Value | None = None
    made: set[ir.Node] = set()
    for number in range(count):
        block = _Block(graph, pair, names, slice(number * size, (number + 1) * size))
        part = block.write(first=total is None)
        if total is not None:
            part = block.node("Add", [total, part], pair.last)
        total = part
        made.update(block.nodes)
    assert total is not None
    old = pair.last.outputs[0]
    total.type, total.shape = old.type, old.shape
    name, old.name = old.name, None
    total.name = name
    old.replace_all_uses_with(total, replace_graph_outputs=True)
    for node in (pair.last, *reversed(pair.nodes)):
        read = [value for value in node.inputs if value is not None]
        graph.remove(node, safe=True)
        for value in read:
            if value.is_initializer() and not value.uses() and not value.is_graph_output():
                graph.initializers.pop(str(value.name), None)
    return made


class _Block:
    """Writes one block's nodes in front of the last product."""

    def __init__(self, graph: ir.Graph, pair: Pair, names: Names, columns: slice) -> None:
        self._graph, self._pair, self._names, self._columns = graph, pair, names, columns
        self._values: dict[ir.Value, ir.Value] = {}
        self.nodes: list[ir.Node] = []

    def write(self, *, first: bool) -> ir.Value:
        """Return what the block adds to the result; the first one adds the bias, too."""
        for node in self._pair.nodes:
            made = self._part(node)
            self._values[node.outputs[0]] = made
        last = self._pair.last
        hidden, weight = last.inputs[:2]
        assert hidden is not None
        assert weight is not None
        rows = self._cut(weight, last.attributes.get_int("transB", 0))
        inputs: list[ir.Value | None] = [self._values[hidden], rows]
        if first:
            inputs += last.inputs[BIAS:]
        return self.node(last.op_type, inputs, last)

    def _part(self, node: ir.Node) -> ir.Value:
        """Return the block's columns of what a node makes."""
        inputs: list[ir.Value | None] = []
        is_product = node.op_type in ("Gemm", "MatMul")
        for position, value in enumerate(node.inputs):
            if value is None or value in self._values:
                inputs.append(value if value is None else self._values[value])
            elif is_product and position == WEIGHT:
                axis = 1 - node.attributes.get_int("transB", 0)
                inputs.append(self._cut(value, axis))
            elif constant_of(value) is not None and (not is_product or position == BIAS):
                wide = (shape_of(value) or (1,))[-1] == self._pair.width > 1
                inputs.append(self._cut(value, len(shape_of(value)) - 1) if wide else value)
            else:
                inputs.append(value)
        return self.node(
            node.op_type, inputs, node, width=self._columns.stop - self._columns.start
        )

    def _cut(self, value: ir.Value, axis: int) -> ir.Value:
        """Return a constant with the block's indices along an axis."""
        tensor = constant_of(value)
        assert tensor is not None
        whole: npt.NDArray[Any] = tensor.numpy()
        places = tuple(
            self._columns if at == axis else slice(None) for at in range(whole.ndim)
        )
        return add_constant(self._graph, self._name(value), whole[places])

    def node(
        self,
        operator: str,
        inputs: Sequence[ir.Value | None],
        like: ir.Node,
        width: int | None = None,
    ) -> ir.Value:
        """Add a node, with another's attributes if it is the same; return its output."""
        attributes = like.attributes.values() if operator == like.op_type else ()
        name = self._name(like.outputs[0])
        node = ir.Node("", operator, inputs, attributes, name=name)
        (made,) = node.outputs
        made.name, made.type = name, like.outputs[0].type
        sizes = list(shape_of(like.outputs[0]))
        made.shape = ir.Shape([*sizes[:-1], width or sizes[-1]])
        self._graph.insert_before(self._pair.last, node)
        self.nodes.append(node)
        return made

    def _name(self, value: ir.Value) -> str:
        span = f"[{self._columns.start}:{self._columns.stop}]"
        return self._names.free(f"{value.name}{BLOCK}{span}")

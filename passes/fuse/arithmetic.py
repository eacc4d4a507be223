"""Make one of several nodes of arithmetic with constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.passes.base import Names, add_constant, constant_of, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.normalization import pads
from suture.passes.making import new_node, put
from suture.passes.recognise.by_element import SCALES, affine_input, only_reader

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class ComposeArithmetic(EachGraphPass):
    """Make products and sums with constants that follow each other one product and one sum.

    Before: ``t = Mul(x, 255); u = Div(t, 127.5); y = Sub(u, 1)``.
    After: ``t = Mul(x, 2); y = Add(t, -1)``.
    In front of a Conv that pads with zeros the sum comes first, since a Conv takes in the
    product then: ``x * s + o`` is ``(x + o / s) * s``. What adds zero or multiplies by one
    goes.
    """

    name: ClassVar[str] = "compose-arithmetic"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "fold-affine", "sink-arithmetic")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite each chain that becomes shorter, or can be folded by half."""
        made, declined = [], []
        for node in list(graph):
            chain = _chain(node)
            if not chain:
                continue
            told = note(
                chain[-1], f"{len(chain)} nodes of arithmetic made fewer, or in another order"
            )
            reason = _compose(graph, chain, names)
            if reason is None:
                made.append(told)
            elif reason and len(chain) > 1:
                declined.append(note(chain[-1], reason))
        return made, declined


def _chain(node: ir.Node) -> list[ir.Node]:
    """Return the nodes of arithmetic that begin with one; none where it begins before."""
    place = affine_input(node) if node.graph is not None else None
    before = None if place is None else node.inputs[place]
    if before is None:
        return []
    maker = before.producer()
    if maker is not None and affine_input(maker) is not None and only_reader(before):
        return []
    chain = [node]
    while (found := only_reader(chain[-1].outputs[0])) is not None:
        if affine_input(found[0]) != found[1]:
            break
        chain.append(found[0])
    return chain


def _compose(graph: ir.Graph, chain: list[ir.Node], names: Names) -> str | None:
    """Put the shortest arithmetic in a chain's place; return why not, "" for no gain."""
    source, result = _data(chain[0]), chain[-1].outputs[0]
    if source.shape is None or source.shape != result.shape:
        return "the constants may give the value its shape"
    assert result.dtype is not None
    number_type = result.dtype.numpy()
    found = _total(chain, np.finfo(number_type).eps)
    if isinstance(found, str):
        return found
    scale, offset = found
    steps = _steps(scale, offset)
    end = only_reader(result)
    padded = end is not None and end[1] == 0 and end[0].op_type == "Conv" and pads(end[0])
    first_sum = len(steps) == 2 and padded and scale.all()
    if first_sum:
        steps = [("Add", offset / scale), ("Mul", scale)]
    ordered = chain[-1].op_type in SCALES and chain[0].op_type not in SCALES
    if len(steps) == len(chain) and (ordered or not first_sum):
        return ""
    largest = max(_numbers(node).size for node in chain)
    if any(array.size > largest for _, array in steps):
        return "the constants would grow"
    with np.errstate(over="ignore"):
        arrays = [array.astype(number_type) for _, array in steps]
    if not all(np.isfinite(array).all() for array in arrays):
        return "the constants would overflow"
    if not steps:
        return _cancel(graph, source, chain)
    nodes: list[ir.Node] = []
    for (op, _), array in zip(steps, arrays, strict=True):
        name = f"{chain[-1].name or op}.composed"
        constant = add_constant(graph, names.free(f"{name}.constant"), array)
        before = nodes[-1].outputs[0] if nodes else source
        sides = [constant, before] if op == "Sub" else [before, constant]
        nodes.append(new_node(names, op, sides, name=name, dtype=result.dtype))
        nodes[-1].outputs[0].shape = source.shape
    put(graph, nodes, chain)
    return None


def _steps(scale: Array, offset: Array) -> list[tuple[str, Array]]:
    """Return the operators that ``x * scale + offset`` takes; Sub takes x from its number."""
    if offset.any() and (scale == -1).all():
        return [("Sub", offset)]
    steps = [("Mul", scale)] * bool((scale != 1).any())
    return steps + [("Add", offset)] * bool(offset.any())


def _cancel(graph: ir.Graph, source: ir.Value, chain: list[ir.Node]) -> str | None:
    """Take out a chain that changes nothing; return why not, or None where done."""
    if chain[-1].outputs[0].is_graph_output():
        return "it names a graph output"
    chain[-1].outputs[0].replace_all_uses_with(source)
    graph.remove(chain[::-1], safe=True)
    return None


def _total(chain: list[ir.Node], rounding: float) -> tuple[Array, Array] | str:
    """Return what a chain multiplies by and adds, in double precision, or why neither.

    Args:
        chain: Nodes of arithmetic.
        rounding: What is that much smaller than the terms that it is left of, is nothing.
    """
    scale, offset, largest = np.ones(()), np.zeros(()), np.zeros(())
    for node in chain:
        number = _numbers(node).astype(np.float64)
        match node.op_type:
            case "Mul":
                factor, term = number, np.zeros(())
            case "Div" if not number.all():
                return "it divides by zero"
            case "Div":
                factor, term = 1 / number, np.zeros(())
            case "Add":
                factor, term = np.ones(()), number
            case _:
                sign = -1.0 if affine_input(node) == 1 else 1.0
                factor, term = np.array(sign), -sign * number
        scale, offset = scale * factor, offset * factor + term
        largest = np.maximum(largest * abs(factor), abs(term))
    offset = np.where(abs(offset) <= rounding * largest, 0, offset)
    scale = np.where(abs(scale - 1) <= rounding, 1, scale)
    return scale, offset


def _data(node: ir.Node) -> ir.Value:
    """Return what a node scales or shifts."""
    place = affine_input(node)
    value = None if place is None else node.inputs[place]
    assert value is not None
    return value


def _numbers(node: ir.Node) -> Array:
    """Return the constant that a node scales or shifts by."""
    tensor = next(t for t in map(constant_of, node.inputs) if t is not None)
    return tensor.numpy()

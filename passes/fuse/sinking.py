"""Move arithmetic to where it can be folded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import Names, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.exchange import commutes, exchange
from suture.passes.fuse.normalization import pads
from suture.passes.recognise.by_element import SCALES, affine_input, only_reader
from suture.passes.recognise.relayout import LAYOUTS
from suture.passes.recognise.values import is_constant

PRODUCTS = frozenset({"Gemm", "MatMul"})


@dataclass(frozen=True)
class SinkArithmetic(EachGraphPass):
    """Move arithmetic with constants behind what it commutes with, towards weights.

    Before: ``t = Mul(x, s); u = Transpose(t); y = Conv(u, w)``.
    After: ``u = Transpose(x); t = Mul(u, s); y = Conv(t, w)``, for ``fold-normalization``.
    So it moves past layouts, resizes, pools, zero padding and Clips, whose bounds change; and
    only where weights, or arithmetic of its own kind, can take it in at the end.
    """

    name: ClassVar[str] = "sink-arithmetic"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "fold-affine")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Move the last arithmetic first, so that what stands before it follows."""
        made, declined = [], []
        for node in reversed(list(graph)):
            way = _way(node)
            if way is None:
                continue
            nodes, end = way
            told = note(node, f"moved behind {nodes[-1].name or nodes[-1].op_type}")
            reason = exchange(node, nodes, names, grows=end.op_type in PRODUCTS)
            if reason is None:
                made.append(told)
            else:
                declined.append(note(node, reason))
        return made, declined


def _way(node: ir.Node) -> tuple[list[ir.Node], ir.Node] | None:
    """Return what arithmetic has to pass, and what takes it in then; None for no gain."""
    if affine_input(node) is None:
        return None
    way: list[ir.Node] = []
    found = only_reader(node.outputs[0])
    while found is not None and found[1] == 0 and commutes(node, found[0]):
        way.append(found[0])
        found = only_reader(found[0].outputs[0])
    aside = _is_scaled(node) and all(each.op_type in LAYOUTS for each in way)
    end = _end(node, found, aside=aside) if way else None
    return (way, end) if end is not None else None


def _is_scaled(node: ir.Node) -> bool:
    """Whether arithmetic is of what is scaled for it alone."""
    place = affine_input(node)
    value = None if place is None else node.inputs[place]
    maker = None if value is None else value.producer()
    return (
        maker is not None
        and maker.op_type in SCALES
        and affine_input(maker) is not None
        and only_reader(maker.outputs[0]) is not None
    )


def _end(node: ir.Node, found: tuple[ir.Node, int] | None, *, aside: bool) -> ir.Node | None:
    """Return what would take arithmetic in, behind arithmetic that stays where it is.

    Args:
        node: The arithmetic.
        found: What reads it when it has been moved, and as which input.
        aside: Whether it may stop before zero padding, so that the scale before it gets there.
    """
    scale = node.op_type in SCALES
    while found is not None:
        reader, place = found
        if reader.op_type == "Conv" or reader.op_type in PRODUCTS:
            fits = (
                place == 0
                and is_constant(reader.inputs[1])
                and not reader.attributes.get_int("transA", 0)
            )
            conv = reader.op_type == "Conv"
            takes = scale or (aside or not pads(reader) if conv else reader.op_type == "Gemm")
            return reader if fits and takes else None
        if affine_input(reader) != place:
            return None
        if (reader.op_type in SCALES) == scale:
            return reader
        found = only_reader(reader.outputs[0])
    return None

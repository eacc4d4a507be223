"""Make Q, K and V of an attention side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.fuse.gemm import biased
from suture.passes.making import new_node, new_split
from suture.passes.recognise.affine import Array
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_matrix, numbers_of, shape_of


@dataclass(frozen=True)
class JoinProjections(EachGraphPass):
    """Let one product make what an ``Attention`` reads, and a Split take it apart.

    Before: ``q = x @ wq + bq``, ``k = x @ wk + bk``, ``v = x @ wv + bv``, all of one x.
    After: ``q, k, v = Split(x @ [wq wk wv] + [bq bk bv])``.
    One pass over x in place of three, and a wider product.
    """

    name: ClassVar[str] = "join-projections"
    after: ClassVar[tuple[str, ...]] = ("fuse-attention",)

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Join in front of each ``Attention``."""
        made, declined = [], []
        for node in list(graph):
            if node.op_type != "Attention" or node.domain not in DEFAULT_DOMAINS:
                continue
            found = _projections(node)
            if isinstance(found, str):
                declined.append(note(node, found))
            elif found:
                _join(graph, names, node, found)
                made.append(note(node, "one product makes Q, K and V"))
        return made, declined


@dataclass(frozen=True)
class _Projection:
    """A product with a matrix of constants, with a bias or none."""

    product: ir.Node
    bias: ir.Value | None
    value: ir.Value

    @property
    def weight(self) -> Array:
        numbers = numbers_of(self.product.inputs[1])
        assert numbers is not None
        return numbers


def _projections(attention: ir.Node) -> list[_Projection] | str:
    """Return the products that an attention reads, or why they cannot be one."""
    values = [value for value in attention.inputs[:3] if value is not None]
    makers = [value.producer() for value in values]
    if len(makers) == 3 and makers[0] is not None and len(set(makers)) == 1:
        return []  # taken apart already
    found = [_projection(value) for value in values]
    plain = [each for each in found if each is not None]
    if len(plain) < 3:
        return "Q, K and V are not all products with constants"
    if any(each.product.graph is not attention.graph for each in plain):
        return "Q, K or V is made outside of the branch"
    if len({each.product.inputs[0] for each in plain}) > 1:
        return "Q, K and V are not made of one value"
    if any(len(each.value.uses()) > 1 or each.value.is_graph_output() for each in plain):
        return "Q, K or V has other readers"
    if len({each.bias is None for each in plain}) > 1:
        return "some of Q, K and V have a bias, some have none"
    return plain


def _projection(value: ir.Value) -> _Projection | None:
    """Return the product with a matrix of constants that a value is, or None."""
    node = value.producer()
    if node is not None and node.op_type == "Add":
        for part in node.inputs:
            maker = part.producer() if part is not None else None
            known = biased(maker) if maker is not None else None
            if maker is not None and known is not None and known[0] is node:
                return _Projection(maker, known[1], value)
        return None
    if node is None or node.op_type != "MatMul" or node.domain not in DEFAULT_DOMAINS:
        return None
    return _Projection(node, None, value) if is_matrix(node.inputs[1]) else None


def _join(graph: ir.Graph, names: Names, attention: ir.Node, parts: list[_Projection]) -> None:
    """Put one product and a Split in front of an attention."""
    stem = f"{attention.name or 'attention'}.projections"
    weights = [each.weight for each in parts]
    widths = [int(weight.shape[1]) for weight in weights]
    shape = (*shape_of(parts[0].value)[:-1], sum(widths))
    dtype = parts[0].value.dtype
    weight = add_constant(graph, names.free(f"{stem}.weight"), np.concatenate(weights, axis=1))
    product = new_node(
        names,
        "MatMul",
        [parts[0].product.inputs[0], weight],
        name=stem,
        shapes=[shape],
        dtype=dtype,
    )
    made = [product]
    if parts[0].bias is not None:
        rows = [numbers_of(each.bias) for each in parts]
        bias = np.concatenate([row.reshape(-1) for row in rows if row is not None])
        row = add_constant(graph, names.free(f"{stem}.bias"), bias)
        add = [product.outputs[0], row]
        made.append(
            new_node(names, "Add", add, name=f"{stem}.add", shapes=[shape], dtype=dtype)
        )
    value, axis = made[-1].outputs[0], len(shape) - 1
    split = new_split(graph, names, value, widths, axis, name=f"{stem}.split")
    graph.insert_before(attention, [*made, split])
    for position, value in enumerate(split.outputs):
        attention.replace_input_with(position, value)
    for each in parts:
        old = each.value.producer()
        assert old is not None
        graph.remove([old] if old is each.product else [old, each.product], safe=True)

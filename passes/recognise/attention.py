"""Attention: a softmax between two products, with what rearranges its operands and result.

What PyTorch, timm and Hugging Face's exporters write: Q, K and V rearranged from projections,
``MatMul``, a scale (as one factor or a root on each side), a mask if any, ``Softmax``,
``MatMul``, and the heads rearranged into rows. Or the operator ``Attention`` of set 23.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from suture.passes.recognise.places import (
    REARRANGING,
    Arranged,
    Places,
    arranged,
    follow,
    scalar_factor,
    steps,
)
from suture.passes.recognise.values import (
    DEFAULT_DOMAINS,
    is_constant,
    is_static,
    shape_of,
)


@dataclass(frozen=True)
class FoundAttention:
    """Attention in a graph: ``softmax(scale · Q · Kᵀ + mask) · V``.

    Attributes:
        nodes: From the first product, or from the operator, to the last product.
        following: What rearranges the result.
        operands: Q, K and V as ``[batch, heads, rows, columns]``, each with its scale.
        sizes: Batch, heads, queries, keys, size and depth.
        scale: The factor, without those of the operands.
        mask: What is added, or None.
        result: Where the elements of ``[batch, heads, queries, depth]`` end up, in steps.
    """

    nodes: tuple[ir.Node, ...]
    following: tuple[ir.Node, ...]
    operands: tuple[Arranged, Arranged, Arranged]
    sizes: tuple[int, ...]
    scale: float
    mask: ir.Value | None
    result: tuple[int, ...]

    @property
    def value(self) -> ir.Value:
        """The result, rearranged."""
        return (*self.nodes, *self.following)[-1].outputs[0]


@dataclass(frozen=True)
class _Scores:
    """What a softmax is of: ``scale · product + mask``."""

    product: ir.Node
    nodes: tuple[ir.Node, ...]
    scale: float
    mask: ir.Value | None


def find_attention(node: ir.Node) -> FoundAttention | None:
    """Return the attention around a softmax, or that of an operator ``Attention``.

    What rearranges its operands may stand around its graph, the rest is all in there.
    """
    if node.op_type == "Attention":
        return _of_operator(node)
    if node.op_type != "Softmax" or not is_static(node.inputs[0]):
        return None
    rank = len(shape_of(node.inputs[0]))
    assert node.graph is not None
    default = -1 if node.graph.opset_imports.get("", 13) >= 13 else 1
    if rank not in (3, 4) or node.attributes.get_int("axis", default) not in (-1, rank - 1):
        return None
    scores, mixing = _scores(node), _only_reader(node.outputs[0], "MatMul")
    if scores is None or mixing is None or mixing.inputs[0] is not node.outputs[0]:
        return None
    if not is_static(mixing.outputs[0]) or len(shape_of(mixing.outputs[0])) != rank:
        return None
    operands = _operands(scores.product, mixing)
    if operands is None:
        return None
    shape = shape_of(mixing.outputs[0])
    whole = np.arange(int(np.prod(shape))).reshape(shape if rank == 4 else (1, *shape))
    nodes = (*scores.nodes, node, mixing)
    if any(each.graph is not node.graph for each in nodes):
        return None
    return _found(nodes, operands, scores.scale, scores.mask, whole)


def _of_operator(node: ir.Node) -> FoundAttention | None:
    """Return the attention of an operator whose heads lie side by side in rows."""
    given = node.attributes
    heads = given.get_int("q_num_heads", 0) or 0
    plain = (
        node.domain in DEFAULT_DOMAINS
        and len(node.outputs) == 1
        and heads > 0
        and given.get_int("kv_num_heads", 0) == heads
        and not any(given.get_int(name, 0) for name in ("is_causal", "qk_matmul_output_mode"))
        and not given.get_float("softcap", 0.0)
        and not any(node.inputs[4:])
    )
    if not plain or not all(is_static(v) and len(shape_of(v)) == 3 for v in node.inputs[:3]):
        return None
    found = []
    for value in node.inputs[:3]:
        part = arranged(value, scaled=False) if value is not None else None
        if part is None:
            return None
        batch, rows, columns = part.places.shape
        apart = part.places.reshape(batch, rows, heads, columns // heads)
        found.append(replace(part, places=apart.transpose(0, 2, 1, 3)))
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    repeated = mask.producer() if mask is not None else None
    if repeated is not None and repeated.op_type == "Expand" and is_static(mask):
        mask = repeated.inputs[0]
    if mask is not None and not is_static(mask):
        return None
    scale = given.get_float("scale", None) or found[0].places.shape[3] ** -0.5
    batch, rows, columns = shape_of(node.outputs[0])
    whole = np.arange(batch * rows * columns).reshape(batch, rows, heads, columns // heads)
    operands = (found[0], found[1], found[2])
    return _found((node,), operands, scale, mask, whole.transpose(0, 2, 1, 3))


def _found(
    nodes: tuple[ir.Node, ...],
    operands: tuple[Arranged, Arranged, Arranged],
    scale: float,
    mask: ir.Value | None,
    whole: Places,
) -> FoundAttention | None:
    """Return what was found, with what rearranges its result; None where sizes disagree."""
    sizes = _sizes(*(each.places for each in operands))
    following, result = _result(nodes[-1].outputs[0], whole)
    if sizes is None or result is None:
        return None
    return FoundAttention(
        nodes=nodes,
        following=following,
        operands=operands,
        sizes=sizes,
        scale=scale,
        mask=mask,
        result=result,
    )


def _scores(softmax: ir.Node) -> _Scores | None:
    """Return the scores of a softmax, back to the product of two values that vary."""
    value, scale, mask = softmax.inputs[0], 1.0, None
    nodes: list[ir.Node] = []
    while value is not None and (node := value.producer()) is not None:
        if len(list(value.uses())) != 1 or value.is_graph_output():
            return None
        nodes.insert(0, node)
        factor = scalar_factor(node, value)
        if factor is not None:
            value, scale = factor[0], scale * factor[1]
        elif node.op_type == "Add" and mask is None and scale == 1.0:
            value, mask = _split_mask(node)
            if value is None:
                return None
        elif node.op_type == "MatMul" and node.domain in DEFAULT_DOMAINS:
            varies = all(v is not None and is_static(v) for v in node.inputs)
            varies = varies and not any(is_constant(v) for v in node.inputs)
            return _Scores(node, tuple(nodes), scale, mask) if varies else None
        else:
            return None
    return None


def _split_mask(node: ir.Node) -> tuple[ir.Value | None, ir.Value | None]:
    """Return which operand of an addition are scores, and which the mask."""
    shape = shape_of(node.outputs[0])
    for scores, mask in (node.inputs, node.inputs[::-1]):
        whole = is_static(scores) and shape_of(scores) == shape
        producer = scores.producer() if whole and scores is not None else None
        if producer is not None and producer.op_type in ("MatMul", "Mul", "Div"):
            return (scores, mask) if is_static(mask) else (None, None)
    return None, None


def _operands(product: ir.Node, mixing: ir.Node) -> tuple[Arranged, Arranged, Arranged] | None:
    """Return Q, K and V as ``[batch, heads, rows, columns]``."""
    found = []
    given = ((product.inputs[0], True), (product.inputs[1], True), (mixing.inputs[1], False))
    for value, scaled in given:
        part = arranged(value, scaled=scaled) if value is not None else None
        if part is None or part.places.ndim not in (3, 4):
            return None
        places = part.places if part.places.ndim == 4 else part.places[None]
        found.append(replace(part, places=places))
    key = replace(found[1], places=found[1].places.swapaxes(2, 3))
    return found[0], key, found[2]


def _sizes(query: Places, key: Places, value: Places) -> tuple[int, ...] | None:
    """Return batch, heads, queries, keys, size and depth; None where they do not agree."""
    batch, heads, queries, size = query.shape
    keys, depth = value.shape[2:]
    fits = key.shape == (batch, heads, keys, size) and value.shape[:2] == (batch, heads)
    return (batch, heads, queries, keys, size, depth) if fits else None


def _result(
    value: ir.Value, whole: Places
) -> tuple[tuple[ir.Node, ...], tuple[int, ...] | None]:
    """Return what rearranges a result in its graph, and where its elements end up.

    Args:
        value: The result.
        whole: Where each element of ``[batch, heads, queries, depth]`` lies in it.
    """
    nodes: list[ir.Node] = []
    graph, kept, known = value.graph, 0, steps(whole)
    places = np.arange(whole.size).reshape(shape_of(value))
    while (node := _only_reader(value)) is not None and node.op_type in REARRANGING:
        if node.graph is not graph:
            break
        fixed = node.inputs[0] is value and all(is_constant(v) for v in node.inputs[1:] if v)
        if not fixed or len(node.outputs) != 1 or not is_static(node.outputs[0]):
            break
        moved = follow([node], value, places, node.outputs[0])
        if moved is None or moved.size != places.size:
            break
        at = np.empty(moved.size, np.int64)
        at[moved.reshape(-1)] = np.arange(moved.size)
        found = steps(at[whole.reshape(-1)].reshape(whole.shape))
        nodes.append(node)
        value, places = node.outputs[0], moved
        if found is not None:
            known, kept = found, len(nodes)
    return tuple(nodes[:kept]), known


def _only_reader(value: ir.Value, operator: str | None = None) -> ir.Node | None:
    """Return the node that alone reads a value, if it is of an operator."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    if node.domain not in DEFAULT_DOMAINS or (operator and node.op_type != operator):
        return None
    return node

"""Groups around a softmax between two products: attention.

What PyTorch, timm and Hugging Face's exporters write: Q, K and V rearranged from projections,
``MatMul``, a scale (as one factor or a root on each side), a mask if any, ``Softmax``,
``MatMul``, and the heads rearranged into rows. The kernel reads and writes the rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.base import Group
from suture.codegen.groups.joined import join
from suture.passes.recognise.places import (
    REARRANGING,
    Arranged,
    Places,
    arranged,
    follow,
    scalar_factor,
    steps,
)
from suture.passes.recognise.values import DEFAULT_DOMAINS, is_constant, is_static, shape_of

ATTENTION = "SutureAttention"


@dataclass(frozen=True)
class _Scores:
    """What a softmax is of: ``scale · product + mask``."""

    product: ir.Node
    nodes: tuple[ir.Node, ...]
    scale: float
    mask: ir.Value | None


def match_attention(node: ir.Node) -> Group | None:
    """Return the attention around a softmax."""
    if node.op_type != "Softmax" or not is_static(node.inputs[0]):
        return None
    rank = len(shape_of(node.inputs[0]))
    if rank not in (3, 4) or node.attributes.get_int("axis", -1) not in (-1, rank - 1):
        return None
    scores, mixing = _scores(node), _only_reader(node.outputs[0], "MatMul")
    if scores is None or mixing is None or mixing.inputs[0] is not node.outputs[0]:
        return None
    if not is_static(mixing.outputs[0]) or len(shape_of(mixing.outputs[0])) != rank:
        return None
    operands = _operands(scores.product, mixing)
    if operands is None:
        return None
    query, key, value = operands
    inner = [*scores.nodes, node, mixing]
    joined = join(operands, inner)
    if joined is not None:
        query, key, value = joined.operands
    following, result = _result(mixing, rank)
    shape = _sizes(query.places, key.places, value.places)
    laid = [steps(each.places) for each in (query, key, value)]
    strides = _mask_steps(scores.mask, shape) if scores.mask is not None else ()
    if shape is None or any(each is None for each in laid) or strides is None:
        return None
    sizes = ("batch", "heads", "queries", "keys", "size", "depth")
    attributes = {
        **dict(zip(sizes, shape, strict=True)),
        **{name: list(at or ()) for name, at in zip(("q", "k", "v"), laid, strict=True)},
        "result": list(result),
        "scale": scores.scale * query.scale * key.scale,
        "shape": list(shape_of(following[-1].outputs[0])),
    }
    if scores.mask is not None:
        attributes["mask"] = list(strides)
    made = [joined.node] if joined is not None else []
    inputs = [query.source, key.source, value.source, scores.mask]
    return Group(ATTENTION, [*inner[:-1], *following], inputs, attributes, made)


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


def _mask_steps(mask: ir.Value, sizes: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Return where the mask of each score lies, or None where it cannot be followed."""
    if sizes is None:
        return None
    shape = shape_of(mask)
    places = np.arange(int(np.prod(shape))).reshape(shape)
    try:
        whole = np.broadcast_to(places, (*sizes[:2], *sizes[2:4]))
    except ValueError:
        return None
    found = steps(whole)
    return found if found is not None and found[-1] in (0, 1) else None


def _result(mixing: ir.Node, rank: int) -> tuple[list[ir.Node], tuple[int, ...]]:
    """Return the last product and what rearranges it, and where its elements end up."""
    value = mixing.outputs[0]
    shape = shape_of(value) if rank == 4 else (1, *shape_of(value))
    places = np.arange(int(np.prod(shape))).reshape(shape_of(value))
    nodes, kept, whole = [mixing], 1, steps(places.reshape(shape))
    assert whole is not None
    while (node := _only_reader(value)) is not None and node.op_type in REARRANGING:
        known = node.inputs[0] is value and all(is_constant(v) for v in node.inputs[1:] if v)
        if not known or len(node.outputs) != 1 or not is_static(node.outputs[0]):
            break
        moved = follow([node], value, places, node.outputs[0])
        if moved is None or moved.size != places.size:
            break
        at = np.empty(moved.size, np.int64)
        at[moved.reshape(-1)] = np.arange(moved.size)
        found = steps(at.reshape(shape))
        nodes.append(node)
        value, places = node.outputs[0], moved
        if found is not None:
            whole, kept = found, len(nodes)
    return nodes[:kept], whole


def _only_reader(value: ir.Value, operator: str | None = None) -> ir.Node | None:
    """Return the node that alone reads a value, if it is of an operator."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node = uses[0].node
    if node.domain not in DEFAULT_DOMAINS or (operator and node.op_type != operator):
        return None
    return node

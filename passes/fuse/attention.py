"""Write attention as one operator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from suture.compiler.model import opset_of
from suture.passes.base import Names, add_constant, note
from suture.passes.each_graph import EachGraphPass, Rewritten
from suture.passes.making import new_node, new_reshape, new_split, put, remove_unread
from suture.passes.recognise.attention import FoundAttention, find_attention
from suture.passes.recognise.places import Arranged, steps
from suture.passes.recognise.values import shape_of

SINCE = 23


@dataclass(frozen=True)
class FuseAttention(EachGraphPass):
    """Make a softmax between two products one ``Attention``.

    Before: Q, K and V rearranged into heads, ``MatMul``, ``Div``, ``Add`` of a mask,
    ``Softmax``, ``MatMul``, and the heads rearranged into rows.
    After: ``y = Attention<q_num_heads=h, kv_num_heads=h, scale=s>(q, k, v, mask)`` over rows.
    Where one product makes Q, K and V side by side, a Split takes them apart.
    """

    name: ClassVar[str] = "fuse-attention"
    after: ClassVar[tuple[str, ...]] = ("fold-constants", "raise-opset")

    def rewrite(self, graph: ir.Graph, names: Names) -> Rewritten:
        """Rewrite around each softmax that is part of attention."""
        made, declined = [], []
        for node in list(graph):
            if node.graph is None or node.op_type != "Softmax":
                continue
            found = find_attention(node)
            if found is None:
                continue
            told = note(node, f"attention of {found.sizes[1]} heads")
            reason = _obstacle(found, opset_of(graph))
            if reason is None:
                _write(graph, names, found)
                made.append(told)
            else:
                declined.append(note(node, reason))
        return made, declined


def _obstacle(found: FoundAttention, opset: int) -> str | None:
    """Return what keeps attention from being one operator, or None."""
    if opset < SINCE:
        return f"Attention is in operator sets from {SINCE} on, the model has {opset}"
    if any(_column(each) is None for each in found.operands):
        return "Q, K or V does not lie in rows of heads side by side"
    if _parts(found) is None:
        return "Q, K and V are parts of one value, but not thirds of it in this order"
    batch, heads, queries, _, _, depth = found.sizes
    rows = np.arange(batch * queries * heads * depth).reshape(batch, queries, heads, depth)
    if found.result != steps(rows.transpose(0, 2, 1, 3)):
        return "the heads are not put side by side behind it"
    if found.mask is not None and len(shape_of(found.mask)) not in (2, 4):
        return "the mask has neither two nor four axes"
    return None


def _column(operand: Arranged) -> int | None:
    """Return the column of a source's rows at which an operand begins.

    None where it is not ``[batch, rows, heads · columns]`` of it.
    """
    batch, heads, rows, columns = operand.places.shape
    shape = shape_of(operand.source)
    if len(shape) < 2 or int(np.prod(shape[:-1])) != batch * rows:
        return None
    first = int(operand.places.flat[0])
    whole = np.arange(batch * rows * shape[-1]).reshape(batch, rows, shape[-1])
    if first + heads * columns > shape[-1]:
        return None
    part = whole[:, :, first : first + heads * columns]
    part = part.reshape(batch, rows, heads, columns).transpose(0, 2, 1, 3)
    return first if np.array_equal(part, operand.places) else None


def _parts(found: FoundAttention) -> tuple[int, ...] | None:
    """Return the columns of Q, K and V if one value has all, none where each has its own."""
    widths = [each.places.shape[1] * each.places.shape[3] for each in found.operands]
    sources = [each.source for each in found.operands]
    whole = [shape_of(source)[-1] for source in sources]
    if whole == widths:
        return ()
    starts = [_column(each) for each in found.operands]
    side_by_side = [0, widths[0], widths[0] + widths[1]]
    if len(set(sources)) == 1 and starts == side_by_side and whole[0] == sum(widths):
        return tuple(widths)
    return None


def _write(graph: ir.Graph, names: Names, found: FoundAttention) -> None:
    """Put the operator in place of the nodes around a softmax."""
    stem = found.nodes[-1].name or "attention"
    batch, heads, queries, keys, _, depth = found.sizes
    made: list[ir.Node] = []
    rows = (queries, keys, keys)
    parts = _parts(found)
    if parts:
        source = _in_rows(graph, names, made, found.operands[0].source, batch, queries, stem)
        split = new_split(graph, names, source, parts, 2, name=f"{stem}.split")
        made.append(split)
        inputs = list(split.outputs)
    else:
        inputs = [
            _in_rows(graph, names, made, each.source, batch, count, stem)
            for each, count in zip(found.operands, rows, strict=True)
        ]
    query, key, _ = found.operands
    attributes = {
        "q_num_heads": heads,
        "kv_num_heads": heads,
        "scale": float(found.scale * query.scale * key.scale),
    }
    mask = [] if found.mask is None else [_whole_mask(graph, names, made, found, stem)]
    shape = (batch, queries, heads * depth)
    made.append(
        new_node(
            names,
            "Attention",
            [*inputs, *mask],
            name=f"{stem}.attention",
            attributes=attributes,
            shapes=[shape],
            dtype=found.value.dtype,
        )
    )
    wanted = shape_of(found.value)
    if wanted != shape:
        last = made[-1].outputs[0]
        made.append(new_reshape(graph, names, last, wanted, name=f"{stem}.rows"))
    put(graph, made, [*found.nodes, *found.following])
    for operand in found.operands:
        remove_unread(graph, operand.nodes)


def _whole_mask(
    graph: ir.Graph, names: Names, made: list[ir.Node], found: FoundAttention, stem: str
) -> ir.Value:
    """Return the mask with a row for each query: ONNX Runtime does not repeat one row."""
    mask, queries, keys = found.mask, found.sizes[2], found.sizes[3]
    assert mask is not None
    shape = (*shape_of(mask)[:-2], queries, keys)
    if shape_of(mask) == shape:
        return mask
    wanted = add_constant(graph, names.free(f"{stem}.mask.shape"), np.array(shape, np.int64))
    inputs, name = [mask, wanted], f"{stem}.mask"
    made.append(new_node(names, "Expand", inputs, name=name, shapes=[shape], dtype=mask.dtype))
    return made[-1].outputs[0]


def _in_rows(
    graph: ir.Graph,
    names: Names,
    made: list[ir.Node],
    source: ir.Value,
    batch: int,
    rows: int,
    stem: str,
) -> ir.Value:
    """Return a source as ``[batch, rows, columns]``, reshaped if it is not that."""
    shape = (batch, rows, shape_of(source)[-1])
    if shape_of(source) == shape:
        return source
    made.append(new_reshape(graph, names, source, shape, name=f"{stem}.rows"))
    return made[-1].outputs[0]

"""Groups of attention: the kernel reads and writes rows, wherever they lie."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from suture.codegen.groups.base import Group
from suture.codegen.groups.joined import join
from suture.passes.recognise.attention import find_attention
from suture.passes.recognise.places import steps
from suture.passes.recognise.values import shape_of

ATTENTION = "SutureAttention"


def match_attention(node: ir.Node) -> Group | None:
    """Return the attention around a softmax, or that of the operator."""
    found = find_attention(node)
    if found is None:
        return None
    query, key, value = found.operands
    joined = join(found.operands, found.nodes)
    if joined is not None:
        query, key, value = joined.operands
    laid = [steps(each.places) for each in (query, key, value)]
    strides = _mask_steps(found.mask, found.sizes) if found.mask is not None else ()
    if any(each is None for each in laid) or strides is None:
        return None
    sizes = ("batch", "heads", "queries", "keys", "size", "depth")
    attributes = {
        **dict(zip(sizes, found.sizes, strict=True)),
        **{name: list(at or ()) for name, at in zip(("q", "k", "v"), laid, strict=True)},
        "result": list(found.result),
        "scale": found.scale * query.scale * key.scale,
        "shape": list(shape_of(found.value)),
    }
    if found.mask is not None:
        attributes["mask"] = list(strides)
    made = [joined.node] if joined is not None else []
    inputs = [query.source, key.source, value.source, found.mask]
    return Group(ATTENTION, [*found.nodes, *found.following], inputs, attributes, made)


def _mask_steps(mask: ir.Value, sizes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return where the mask of each score lies, or None where it cannot be followed."""
    shape = shape_of(mask)
    places = np.arange(int(np.prod(shape))).reshape(shape)
    try:
        whole = np.broadcast_to(places, (*sizes[:2], *sizes[2:4]))
    except ValueError:
        return None
    found = steps(whole)
    return found if found is not None and found[-1] in (0, 1) else None

"""Fusion groups: which nodes of a prepared model become one scheduled kernel.

Decided here and nowhere else. A group is one node of the domain ``suture`` in place of its
nodes; ``suture.codegen.emit`` has an emitter for each kind.
"""

from __future__ import annotations

import onnx_ir as ir

from suture.codegen.groups.affine import match_affine
from suture.codegen.groups.attention import match_attention
from suture.codegen.groups.base import DEFAULT_DOMAINS, Match, replace
from suture.codegen.groups.conv import match_conv
from suture.codegen.groups.conv_transpose import match_conv_transpose
from suture.codegen.groups.gemm import match_gemm
from suture.codegen.groups.integers import move_integers
from suture.codegen.groups.quantized import match_quantized
from suture.codegen.groups.resize import match_resize
from suture.codegen.groups.shuffle import absorb_shuffles

MATCHERS: tuple[Match, ...] = (
    match_quantized,
    match_affine,
    match_conv,
    match_conv_transpose,
    match_gemm,
    match_attention,
    match_resize,
)
"""In the order in which they are asked; the first that answers wins."""


def group(model: ir.Model) -> tuple[str, ...]:
    """Replace every group of a prepared model, in place; return what they hold, for people."""
    told = []
    if move_integers(model):
        drop_unread(model.graph)
    for node in list(model.graph):
        # What was taken into an earlier group belongs to no graph any more.
        if node.graph is None or node.domain not in DEFAULT_DOMAINS:
            continue
        found = next((made for match in MATCHERS if (made := match(node))), None)
        if found is not None:
            replace(model.graph, found)
            told.append(" ".join(each.op_type for each in found.nodes))
    absorb_shuffles(model)
    drop_unread(model.graph)
    return tuple(told)


def drop_unread(graph: ir.Graph) -> None:
    """Remove nodes whose outputs nobody reads any more.

    onnx_ir's pass would also cut off optional inputs that are left out, which emitters expect.
    """
    for node in reversed(list(graph)):
        if not any(map(_is_read, node.outputs)):
            graph.remove(node, safe=True)


def _is_read(value: ir.Value) -> bool:
    return bool(list(value.uses())) or value.is_graph_output()

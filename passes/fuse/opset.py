"""Raise the operator set to one that has an operator for what a model spells out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnxscript.version_converter

from suture.compiler.model import opset_of
from suture.passes.base import GraphPass, Note, PassContext, PassResult, note
from suture.passes.each_graph import graphs_of
from suture.passes.recognise.attention import find_attention
from suture.passes.recognise.values import DEFAULT_DOMAINS

IR_VERSION = 11
"""The IR version that operator set 23 came with."""
SEES_BRANCHES = 18
"""From this operator set on onnxscript converts, which sees the graphs inside of nodes."""


@dataclass(frozen=True)
class RaiseOpset(GraphPass):
    """Convert a model that spells out attention, GELU or a normalisation to a newer set.

    Before: operator set 17, ``Softmax(MatMul(q, k) * s)`` …
    After: operator set 23, in which ``fuse-attention`` can write ``Attention``.
    The conversion is onnxscript's, or onnx's from sets before 18, which does not look into
    branches. A model that would gain nothing stays as it was exported.
    """

    name: ClassVar[str] = "raise-opset"
    to: int = 23

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Convert a copy, and take its graph if that worked."""
        gains = _gains(model)
        if gains is None or opset_of(model) >= self.to:
            return PassResult(model)
        obstacle = _obstacle(model)
        if obstacle is not None:
            return PassResult(model, declined=(obstacle,))
        made = Note(gains.at, f"{gains.reason}: raised from {opset_of(model)} to {self.to}")
        converted = model.clone()
        logger = logging.getLogger("onnxscript.version_converter")
        level = logger.level
        logger.setLevel(logging.CRITICAL)
        try:
            onnxscript.version_converter.convert_version(converted, self.to, fallback=True)
        finally:
            logger.setLevel(level)
        if opset_of(converted) != self.to:
            reason = f"onnx cannot convert the model to operator set {self.to}"
            return PassResult(model, declined=(Note(gains.at, reason),))
        model.graph = converted.graph
        model.ir_version = max(model.ir_version, IR_VERSION)
        return PassResult(model, made=(made,))


def _gains(model: ir.Model) -> Note | None:
    """Return the first node of something that newer sets have an operator for, or None."""
    for node in (node for graph in graphs_of(model)[::-1] for node in graph):
        if node.domain not in DEFAULT_DOMAINS:
            continue
        match node.op_type:
            case "Erf":
                return note(node, "GELU may be one operator")
            case "Softmax" if find_attention(node) is not None:
                return note(node, "attention may be one operator")
            case "ReduceMean" if _leads_to_root(node):
                return note(node, "a normalisation may be one operator")
    return None


def _leads_to_root(node: ir.Node) -> bool:
    """Whether a mean is of what a root is taken of next, with an epsilon between."""
    return any(
        use.node.op_type == "Add"
        and any(behind.node.op_type == "Sqrt" for behind in use.node.outputs[0].uses())
        for use in node.outputs[0].uses()
    )


def _obstacle(model: ir.Model) -> Note | None:
    """Return what the conversion does not see through, or None."""
    for node in model.graph.all_nodes():
        inner = any(
            a.type in (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
            for a in node.attributes.values()
        )
        if inner and opset_of(model) < SEES_BRANCHES:
            return note(node, f"subgraphs are not converted from sets before {SEES_BRANCHES}")
        if node.domain not in DEFAULT_DOMAINS:
            return note(node, f"the domain {node.domain!r} is not converted")
    return None

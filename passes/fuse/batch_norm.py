"""Fold batch normalisation into the weights before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir
from onnxscript.rewriter import RewriteRule, RewriteRuleClassBase, RewriteRuleSet
from onnxscript.rewriter.rules.common import _fuse_batchnorm as theirs

from suture.passes.base import (
    GraphPass,
    Names,
    PassContext,
    PassResult,
    add_constant,
    constant_of,
    note,
)

FOLDS_INTO = ("Conv", "ConvTranspose", "Gemm")


@dataclass(frozen=True)
class FoldBatchNorm(GraphPass):
    """Make ``BatchNormalization(Conv(x))`` one Conv; ConvTranspose and Gemm likewise.

    Before: ``t = Conv(x, w); y = BatchNormalization(t, gamma, beta, mean, var)``.
    After: ``y = Conv(x, w * gamma / sqrt(var + eps), beta - mean * gamma / sqrt(var + eps))``.
    The rewriting itself is onnxscript's; whether it may take place is decided here.
    """

    name: ClassVar[str] = "fold-batch-norm"
    after: ClassVar[tuple[str, ...]] = ("remove-identities", "fold-constants", "fold-affine")

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Apply onnxscript's rules, and say why each normalisation that stays does."""
        before = {node: note(node, "folded") for node in _batch_norms(model)}
        names = Names(model.graph)
        for node in before:
            if _obstacle(node) is None:
                _give_bias(node, names)
        folds = (
            theirs.FuseBatchNormIntoConv(),
            theirs.FuseBatchNormIntoConvTranspose(),
            theirs.FuseBatchNormIntoGemm(),
        )
        leavings = _Leavings(model)
        RewriteRuleSet([_guarded(fold, leavings) for fold in folds]).apply_to_model(model)
        leavings.drop()
        left = _batch_norms(model)
        made = tuple(made for node, made in before.items() if node not in left)
        declined = tuple(
            note(node, _obstacle(node) or "onnxscript's rule does not match") for node in left
        )
        return PassResult(model, made=made, declined=declined)


def _batch_norms(model: ir.Model) -> list[ir.Node]:
    """Return the normalisations of the graph and its subgraphs."""
    return [
        node
        for node in model.graph.all_nodes()
        if node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx")
    ]


class _Leavings:
    """Weights that were read at first and are no longer: one fold's go before the next.

    Otherwise all weights of a model would be in memory twice.
    """

    def __init__(self, model: ir.Model) -> None:
        self._read = [
            value
            for graph in model.graphs()
            for value in graph.initializers.values()
            if value.uses() and not value.is_graph_output() and not value.is_graph_input()
        ]

    def drop(self) -> None:
        """Let go of what nothing reads by now."""
        for value in self._read:
            name = str(value.name)  # which what came in its place may have by now
            graph = value.graph
            if (
                not value.uses()
                and graph is not None
                and graph.initializers.get(name) is value
            ):
                del graph.initializers[name]
        self._read = [value for value in self._read if value.uses()]


def _guarded(fold: RewriteRuleClassBase, leavings: _Leavings) -> RewriteRule:
    """Return onnxscript's rule, kept from what we see an obstacle to."""

    def check(context: object, **matched: ir.Value) -> bool:
        leavings.drop()
        node = matched["batchnorm_out"].producer()
        return (
            node is not None
            and _obstacle(node) is None
            and bool(fold.check(context, **matched))
        )

    return RewriteRule(fold.pattern, fold.rewrite, check, name=fold.name)


def _give_bias(node: ir.Node, names: Names) -> None:
    """Give it a bias of its own: the rule would take a name that may be in use."""
    before, graph = _before(node), node.graph
    assert before is not None
    assert isinstance(graph, ir.Graph)
    given = before.inputs[2] if len(before.inputs) > 2 else None
    if given is not None and len(given.uses()) == 1 and not given.is_graph_output():
        return
    bias, mean, weight = constant_of(given), constant_of(node.inputs[3]), before.inputs[1]
    assert mean is not None
    assert weight is not None
    numbers = np.zeros_like(mean.numpy()) if bias is None else bias.numpy().copy()
    before.resize_inputs(3)
    name = names.free(f"{weight.name}_bias")
    before.replace_input_with(2, add_constant(graph, name, numbers))


def _before(node: ir.Node) -> ir.Node | None:
    """Return what a normalisation can be folded into, if that stands before it."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is None or before.domain not in ("", "ai.onnx") or before.graph != node.graph:
        return None
    return before if before.op_type in FOLDS_INTO else None


def _obstacle(node: ir.Node) -> str | None:
    """Return what keeps a normalisation from being folded, or None."""
    before = _before(node)
    if before is None:
        return "no Conv, ConvTranspose or Gemm stands before it"
    if node.attributes.get_int("training_mode", 0) or len(node.outputs) > 1:
        return "it takes its statistics from the batch, as in training"
    if len(before.outputs[0].uses()) > 1 or before.outputs[0].is_graph_output():
        return f"the output of {before.op_type} has other readers"
    given = [value for value in before.inputs[1:] if value is not None]
    constants = [value for value in (*node.inputs[1:], *given) if value is not None]
    if any(constant_of(value) is None for value in constants):
        return "weights or statistics are not constant"
    if not all(value.is_initializer() for value in constants):
        return "weights or statistics are made by nodes, which fold-constants lifts"
    if len({value.dtype for value in constants}) > 1:
        return "weights and statistics are of different types"
    weight = given[0]
    if len(weight.uses()) > 1 or weight.is_graph_output():
        return "the weights are shared with another node"
    return None

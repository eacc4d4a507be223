"""Fold batch normalisation into the weights before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
from onnxscript.rewriter import RewriteRuleSet
from onnxscript.rewriter.rules import common

from suture.passes.base import GraphPass, Note, PassContext, PassResult, constant_of, note

FOLDS_INTO = ("Conv", "ConvTranspose", "Gemm")


@dataclass(frozen=True)
class FoldBatchNorm(GraphPass):
    """Make ``BatchNormalization(Conv(x))`` one Conv; ConvTranspose and Gemm likewise.

    Before: ``t = Conv(x, w); y = BatchNormalization(t, gamma, beta, mean, var)``.
    After: ``y = Conv(x, w * gamma / sqrt(var + eps), beta - mean * gamma / sqrt(var + eps))``.
    The rewriting itself is onnxscript's.
    """

    name: ClassVar[str] = "fold-batch-norm"

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Apply onnxscript's rules, and say why each normalisation that stays does."""
        before = {node: note(node, "folded") for node in model.graph if _is_batch_norm(node)}
        reasons = {node: _obstacle(node) for node in before}
        rules = RewriteRuleSet(
            [
                common.fuse_batchnorm_into_conv_rule,
                common.fuse_batchnorm_into_conv_transpose_rule,
                common.fuse_batchnorm_into_gemm_rule,
            ]
        )
        rules.apply_to_model(model)
        left = {node for node in model.graph if _is_batch_norm(node)}
        made = tuple(made for node, made in before.items() if node not in left)
        declined = tuple(
            Note(before[node].at, reasons[node] or "onnxscript's rule does not match")
            for node in before
            if node in left
        )
        return PassResult(model, made=made, declined=declined)


def _is_batch_norm(node: ir.Node) -> bool:
    return node.op_type == "BatchNormalization" and node.domain in ("", "ai.onnx")


def _obstacle(node: ir.Node) -> str | None:
    """Return what keeps a normalisation from being folded, or None."""
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    if before is None or before.op_type not in FOLDS_INTO:
        return "no Conv, ConvTranspose or Gemm stands before it"
    if len(before.outputs[0].uses()) > 1 or before.outputs[0].is_graph_output():
        return f"the output of {before.op_type} has other readers"
    if any(constant_of(value) is None for value in (*node.inputs[1:], *before.inputs[1:])):
        return "weights or statistics are not constant"
    if any(len(value.uses()) > 1 for value in before.inputs[1:] if value is not None):
        return "the weights are shared with another node"
    return None

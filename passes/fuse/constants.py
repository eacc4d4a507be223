"""Compute at compile time what no input can change."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxscript.optimizer

from suture.compiler.model import opset_of
from suture.passes.base import GraphPass, PassContext, PassResult, note

AXES_AS_INPUT = 13
"""The operator set since which an Unsqueeze reads its axes."""


@dataclass(frozen=True)
class FoldConstants(GraphPass):
    """Replace nodes whose inputs are all constant by their value.

    Before: ``s = Add(2, 3); y = Mul(x, s)``.
    After: ``y = Mul(x, 5)``.
    The folding is onnxscript's; results of more than ``limit`` elements are left to run time,
    since they would weigh more in the package than they save.
    """

    name: ClassVar[str] = "fold-constants"
    limit: int = 262144

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Fold, then make every remaining Constant node an initializer.

        What was folded belongs to no graph any more; nodes of a branch that went with its If
        still do, and are not noted one by one.
        """
        stuck = unfoldable(model)
        if stuck is not None:
            return PassResult(model, declined=(note(*stuck),))
        before = {node: note(node, _reason(node)) for node in model.graph.all_nodes()}
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        logger = logging.getLogger("onnxscript.optimizer")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            onnxscript.optimizer.fold_constants(
                model, input_size_limit=self.limit, output_size_limit=self.limit
            )
        finally:
            logger.setLevel(level)
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        made = tuple(made for node, made in before.items() if node.graph is None)
        return PassResult(model, made=made)


def unfoldable(model: ir.Model) -> tuple[ir.Node, str] | None:
    """Return the first node that onnxscript's folding fails on, and why; None without one."""
    early = opset_of(model) < AXES_AS_INPUT
    for node in model.graph.all_nodes():
        stacks = node.op_type == "ConcatFromSequence" and node.attributes.get_int("new_axis")
        if stacks and early:
            return node, "onnxscript's folding writes an Unsqueeze of a later operator set"
        if node.op_type == "SplitToSequence" and len(node.inputs) > 1:
            split = node.inputs[1]
            if split is not None and ir.convenience.get_const_tensor(split) is None:
                return node, "onnxscript's folding fails on a split that is not constant"
    return None


def _reason(node: ir.Node) -> str:
    return (
        "becomes an initializer" if node.op_type == "Constant" else "all inputs are constant"
    )

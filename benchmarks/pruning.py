"""How much of classifiers goes for half a point of accuracy.

    .venv/bin/python benchmarks/pruning.py [PLAN ...]

Plans of the example are linked for its requests; ``digits-transformer`` is trained here. Each
goes through the exact passes, then through ``prune-channels``; the accuracy budget is chosen
on one half of the evaluation set, and the other half is held out. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import logging
import time

import numpy as np
import onnx_ir as ir
from digits_plans import linked_plan
from digits_transformer import NAME, digits_transformer

from suture.compiler.inspect import node_flops
from suture.passes.base import PassContext
from suture.passes.budget import SEED
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune.channels import PruneChannels

SHOWN = (
    "digit-monolith",
    "digit-contrast > digit-denoise > digit-deskew > digit-cnn-large",
    NAME,
)


def sizes(model: ir.Model) -> str:
    """Return how many heads attention has, and how wide products of matrices are, in order."""
    heads = [
        node.attributes.get_int("q_num_heads")
        for node in model.graph.all_nodes()
        if node.op_type == "Attention"
    ]
    widths = [
        node.outputs[0].shape[-1]
        for node in model.graph
        if node.op_type in ("Gemm", "MatMul") and node.outputs[0].shape is not None
    ]
    return f"heads {heads}, columns {widths}"


def main() -> None:
    """Prune and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=0.005)
    parser.add_argument("plans", nargs="*", default=SHOWN)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    print("| plan | MFLOPs | after | fewer | drop, chosen | drop, held out | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in options.plans:
        model, evaluation = digits_transformer() if name == NAME else linked_plan(name)
        PassManager(parse_pipeline("exact")).run(model)
        whole, before = model.clone(), sum(map(node_flops, model.graph))
        began = time.process_time()
        context = PassContext(evaluation=evaluation)
        (record,) = PassManager([PruneChannels(budget=options.budget)]).run(model, context)
        spent = time.process_time() - began
        after = sum(map(node_flops, model.graph))
        halves = evaluation.halves(np.random.default_rng(SEED))
        drops = [half.hits(whole).mean() - half.hits(model).mean() for half in halves]
        print(
            f"| {name} | {before / 1e6:.2f} | {after / 1e6:.2f} | {1 - after / before:.1%} "
            f"| {drops[0]:.4f} | {drops[1]:.4f} | {spent:.0f} |"
        )
        print(f"<!-- {sizes(whole)} to {sizes(model)} -->")
        for note in (*record.made, *record.declined):
            print(f"<!-- {note.reason} -->")


if __name__ == "__main__":
    main()

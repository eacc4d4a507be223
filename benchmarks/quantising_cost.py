"""What ``quantize`` costs on whole networks: processor seconds, and what it found.

    .venv/bin/python benchmarks/quantising_cost.py [--requests N] [NETWORK ...]

Requests are seeded, labelled with what the network itself answers, so that every answer that
changes counts as wrong. Weights are seeded, too, which makes answers close calls: more trials
are refused than on a trained network. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

sys.path.insert(0, str(Path(__file__).parent / "networks"))

from catalogue import build
from onnxscript.version_converter import convert_version

from suture.compiler.evaluation import Answers, Evaluation, Hits, Labels
from suture.compiler.model import opset_of
from suture.compiler.verify import seeded_inputs
from suture.passes.base import PassContext
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

SHOWN = ("mobilenet_v2", "resnet50")
BUDGET = 0.05
OPSET = 18


def main() -> None:
    """Quantise each network and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("networks", nargs="*", default=SHOWN)
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    print("| network | nodes | requests | CPU s | what it found |\n|---|---|---|---|---|")
    for name in options.networks:
        model = build(name, Path())
        if opset_of(model) < OPSET:
            convert_version(model, OPSET, fallback=True)
        PassManager(parse_pipeline("exact")).run(model)
        evaluation = labelled(model, options.requests)
        nodes, began = model.graph.num_nodes(), time.process_time()
        passes = parse_pipeline(f"quantize{{budget={BUDGET}}}")
        (record,) = PassManager(passes, seconds=None).run(
            model, PassContext(evaluation=evaluation)
        )
        seconds = time.process_time() - began
        told = (record.made or record.declined)[0].reason
        print(
            f"| {name} | {nodes} | {options.requests} | {seconds:.0f} | {told} |", flush=True
        )


def labelled(model: ir.Model, count: int) -> Evaluation:
    """Return seeded requests, each with the class that the model answers."""
    rng = np.random.default_rng(0)
    found: list[int] = []

    def keep(answers: Answers, labels: Labels) -> Hits:
        found.extend(int(answer.argmax()) for answer in answers)
        return np.ones(len(labels), bool)

    requests = [seeded_inputs(model, rng) for _ in range(count)]
    unlabelled = Evaluation(requests=requests, labels=np.zeros(count, np.int64), metric=keep)
    unlabelled.hits(model)
    return replace(unlabelled, labels=np.array(found), metric=Evaluation.metric)


if __name__ == "__main__":
    main()

"""Two detectors on one backbone, stitched, against one backbone with both heads.

    .venv/bin/python benchmarks/networks/shared_backbone.py [--lock FILE]

The detectors are two components, each a file with the whole backbone in it; a third puts
their answers together. What suture's linker and its ``exact`` pipeline make of the three is
timed in ONNX Runtime against the same network written by hand with the backbone once, round
by round. The weights of both are weighed.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
from draft import Draft
from simplifiers import alone

from suture.codegen.backend.ort import OrtProgram, weight_bytes
from suture.codegen.measure import measure_for
from suture.compiler.component import Port
from suture.compiler.library import describe
from suture.compiler.link import link
from suture.compiler.model import save_model
from suture.compiler.plan.base import INPUT, Edge, Plan, Step
from suture.compiler.verify import assert_equal, run_reference
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

EDGE, ANCHORS = 224, 6
STAGES = ((32, 2), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))
"""Filters and stride of each convolution of the backbone."""


def backbone(draft: Draft) -> ir.Value:
    """Return features of an image: convolutions with normalisations behind them."""
    x, channels = draft.inputs[0], 3
    for filters, stride in STAGES:
        x = draft.conv(x, (channels, filters, 3), stride=stride)
        statistics = ((0.8, 1.2), (-0.1, 0.1), (-0.1, 0.1), (0.8, 1.2))
        given = (draft.uniform(filters, low=low, high=high) for low, high in statistics)
        x = draft.op("Relu", draft.op("BatchNormalization", x, *given))
        channels = filters
    return x


def head(draft: Draft, x: ir.Value, classes: int) -> ir.Value:
    """Return scores of a detector's anchors, ``[1, anchors · classes, 14, 14]``."""
    x = draft.op("Relu", draft.conv(x, (256, 64, 3)))
    return draft.conv(x, (64, ANCHORS * classes, 1))


def detector(classes: int) -> ir.Model:
    """Return a detector with a backbone of its own; all backbones are equal."""
    draft = Draft(f"detector{classes}", (1, 3, EDGE, EDGE))
    return draft.finish(head(draft, backbone(draft), classes))


def both() -> ir.Model:
    """Return what a component that puts two answers together is."""
    shapes = [[1, ANCHORS * classes, EDGE // 16, EDGE // 16] for classes in (2, 4)]
    draft = Draft("both", shapes[0])
    other = draft.input("z", ir.DataType.FLOAT, tuple(shapes[1]))
    return draft.finish(draft.op("Concat", draft.inputs[0], other, axis=1))


def stitched(folder: Path) -> ir.Model:
    """Return the three components linked."""
    made = {}
    for name, model in (("a", detector(2)), ("b", detector(4)), ("both", both())):
        save_model(model, folder / f"{name}.onnx")
        made[name] = describe(folder / f"{name}.onnx", name=name)
    steps = tuple(Step(name, each.ref, each.digest) for name, each in made.items())
    edges = (
        *(Edge(INPUT, INPUT, name, "x") for name in "ab"),
        Edge("a", "y", "both", "x"),
        Edge("b", "y", "both", "z"),
    )
    entry = replace(made["a"].inputs[0], name=INPUT, shape=(1, 3, EDGE, EDGE))
    assert isinstance(entry, Port)
    plan = Plan(steps, edges, ("both", "y"))
    return link(plan, {each.ref: each for each in made.values()}, entry)


def by_hand(stitched: ir.Model) -> ir.Model:
    """Return the network with the backbone written once, of the same weights."""
    draft = Draft("by_hand", (1, 3, EDGE, EDGE))
    features = backbone(draft)
    # Each detector drew the weights of its head right behind those of the backbone.
    state = draft._rng.bit_generator.state
    first = head(draft, features, 2)
    draft._rng.bit_generator.state = state
    answer = draft.op("Concat", first, head(draft, features, 4), axis=1)
    model = draft.finish(answer)
    model.graph.inputs[0].name = stitched.graph.inputs[0].name
    model.graph.outputs[0].name = stitched.graph.outputs[0].name
    return model


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="shared_backbone.py")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--lock", type=Path, help="a file to hold locked while timing")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as name:
        folder = Path(name)
        linked = stitched(folder)
        models = {"linked": linked.clone(), "by hand": by_hand(linked), "stitched": linked}
        for each in ("by hand", "stitched"):
            PassManager(parse_pipeline("exact")).run(models[each])
        shape = (1, 3, EDGE, EDGE)
        inputs = {INPUT: np.random.default_rng(0).standard_normal(shape, np.float32)}
        answers = {each: run_reference(model, inputs) for each, model in models.items()}
        runs = {}
        for number, (each, model) in enumerate(models.items()):
            assert_equal(answers["linked"], answers[each], what=each)
            save_model(model, folder / f"{number}.onnx")
        with alone(options.lock):
            for number, each in enumerate(models):
                runs[each] = OrtProgram(folder / f"{number}.onnx", 1)
            timings = measure_for(options.seconds, runs, inputs)
    for each, model in models.items():
        print(
            f"{each}: {timings.median_ms[each]:.2f} ms, {len(model.graph)} nodes, "
            f"{weight_bytes(model) / 1e6:.2f} MB of weights"
        )
    print(f"stitched / by hand: {timings.ratio('stitched', 'by hand'):.3f}")
    print(f"stitched / linked: {timings.ratio('stitched', 'linked'):.3f}")


if __name__ == "__main__":
    main()

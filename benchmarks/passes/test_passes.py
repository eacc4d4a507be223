"""What a pipeline takes, and what its result takes in ONNX Runtime, for pytest-benchmark."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from light import NAMES, light
from pytest_benchmark.fixture import BenchmarkFixture

from suture.compiler.session import open_session
from suture.compiler.verify import seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

ROUNDS = 5


@pytest.fixture(scope="module", params=NAMES)
def network(request: pytest.FixtureRequest) -> ir.Model:
    """A light model of the onnx package; a test clones it, weights are shared."""
    return light(request.param)


@pytest.mark.parametrize("verify", [False, True], ids=["plain", "verified"])
def test_passes(
    network: ir.Model, pipeline: str, verify: bool, benchmark: BenchmarkFixture
) -> None:
    """Time a whole pipeline."""
    inputs = seeded_inputs(network, np.random.default_rng(0))
    passes = parse_pipeline(pipeline)

    def run(model: ir.Model) -> ir.Model:
        observers = [VerifyingObserver(inputs)] if verify else []
        PassManager(passes, observers).run(model)
        return model

    rounds = 1 if verify else ROUNDS
    made = benchmark.pedantic(run, setup=lambda: ((network.clone(),), {}), rounds=rounds)
    benchmark.extra_info["nodes"] = made.graph.num_nodes()


def test_result(network: ir.Model, pipeline: str, benchmark: BenchmarkFixture) -> None:
    """Time what a pipeline leaves."""
    inputs = seeded_inputs(network, np.random.default_rng(0))
    model = network.clone()
    PassManager(parse_pipeline(pipeline)).run(model)
    session = open_session(model)
    benchmark.pedantic(session.run, args=(None, inputs), rounds=3 * ROUNDS, warmup_rounds=2)
    benchmark.extra_info["nodes"] = model.graph.num_nodes()

"""A model is in memory once while passes rewrite it, whether it is verified or not."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import helper

CHANNELS, LAYERS = 512, 12
PROGRAM = """
import re, sys
from pathlib import Path
import numpy as np
from suture.compiler.model import load_model
from suture.compiler.verify import run_reference, seeded_inputs
from suture.passes.failure import FailureFolder
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

def kilobytes(key):
    return int(re.search(rf"{key}:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

passes = parse_pipeline("exact")
run_reference(load_model(Path(sys.argv[2])), {"x": np.ones(3, np.float32)})
before = kilobytes("VmRSS")
model = load_model(Path(sys.argv[1]))
inputs = seeded_inputs(model, np.random.default_rng(0))
observers = [VerifyingObserver(inputs)] * int(sys.argv[3])
records = PassManager(passes, observers, FailureFolder(Path("failed"), inputs)).run(model)
assert records[-1].nodes_after < records[0].nodes_before
print(1024 * (kilobytes("VmHWM") - before))
"""


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory):
    """A model of 113 MB, all of which fold-batch-norm writes anew."""
    rng, nodes, tensors, value = np.random.default_rng(0), [], [], "x"
    for layer in range(LAYERS):
        scale = np.float32((2 / 9 / CHANNELS) ** 0.5)
        weight = rng.standard_normal((CHANNELS, CHANNELS, 3, 3), np.float32) * scale
        tensors.append(onnx.numpy_helper.from_array(weight, f"w{layer}"))
        names = [f"{name}{layer}" for name in ("gamma", "beta", "mean", "var")]
        for name in names:
            numbers = rng.uniform(0.5, 1, CHANNELS).astype(np.float32)
            tensors.append(onnx.numpy_helper.from_array(numbers, name))
        conv, norm = f"c{layer}", f"n{layer}"
        pads = {"pads": [1] * 4}
        nodes.append(helper.make_node("Conv", [value, f"w{layer}"], [conv], conv, **pads))
        nodes.append(helper.make_node("BatchNormalization", [conv, *names], [norm], norm))
        value = norm
    image = [1, CHANNELS, 2, 2]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", 1, image)],
        [helper.make_tensor_value_info(value, 1, image)],
        tensors,
    )
    path = tmp_path_factory.mktemp("big") / "net.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)
    return path


@pytest.fixture
def small(tmp_path):
    """A model that has ONNX Runtime loaded before memory is measured."""
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "net", [value("x", 1, [3])], [value("y", 1, [3])])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(
        helper.make_model(graph, opset_imports=opset, ir_version=10), tmp_path / "s.onnx"
    )
    return tmp_path / "s.onnx"


@pytest.mark.parametrize("verified", [0, 1], ids=["plain", "verified"])
def test_the_greatest_memory_is_less_than_half_a_model_more(convolutions, small, verified):
    command = [sys.executable, "-c", PROGRAM, convolutions, small, str(verified)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1.5 * convolutions.stat().st_size

"""The networks that are measured, and a run of the comparison itself."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from suture.compiler.model import model_bytes
from suture.compiler.verify import run_reference, seeded_inputs

FOLDER = Path(__file__).parents[2] / "benchmarks" / "networks"


@pytest.fixture
def catalogue(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import catalogue

    return catalogue


@pytest.mark.parametrize(
    ("name", "weights", "shape"),
    [
        ("mobilenet_v2", 3_487_816, (1, 1000)),
        ("bert", 14_175_744, (1, 128, 768)),
        ("bert_masked", 14_175_744, (1, 128, 768)),
        ("vit_tiny", 5_717_416, (1, 1000)),
        ("resnext50", 24_994_792, (1, 1000)),
        ("unet", 1_941_104, (1, 1, 256, 256)),
        ("squeezenet", 1_235_496, (1, 1000, 1, 1)),
    ],
)
def test_networks_are_what_they_are_called(catalogue, name, weights, shape):
    model = catalogue.build(name, Path())
    tensors = [value.const_value for value in model.graph.initializers.values()]
    counted = sum(t.size for t in tensors if t.dtype.numpy() == np.float32 and t.size > 1)
    assert counted == weights
    (answer,) = run_reference(model, seeded_inputs(model, np.random.default_rng(0))).values()
    assert answer.shape == shape
    assert 1e-3 < answer.std() < 10
    assert model_bytes(catalogue.build(name, Path())) == model_bytes(model)


def run(*arguments):
    return subprocess.run(
        [sys.executable, FOLDER, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def cells(out, name):
    (line,) = re.findall(rf"^\| {name} \|(.+)\|$", out, re.M)
    return [cell.strip() for cell in line.split("|")]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Write a network of one operator and return its path."""

    def small(op, *dims, **attributes):
        path = tmp_path_factory.mktemp("small") / f"{op.lower()}.onnx"
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["x"], ["y"], **attributes)],
            op,
            [onnx.helper.make_tensor_value_info("x", 1, dims)],
            [onnx.helper.make_tensor_value_info("y", 1, None)],
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path

    return small


def test_a_table_with_every_runtime(small, tmp_path):
    lock = tmp_path / "lock"
    out = run(small("Tanh", 1, 64), "--rounds", "3", "--memory", "--lock", lock)
    tvm, ort, openvino, ratio, better, error, *_ = cells(out, "tanh.onnx")
    assert min(float(tvm), float(ort), float(openvino)) > 0
    assert 0 < float(ratio) <= float(better)
    assert float(error) < 1e-5
    assert re.search(r"chosen, 1 networks, ratio to the better: geometric mean \d", out)
    assert lock.exists()


def test_what_tvm_lacks_is_told_and_the_rest_measured(small):
    out = run(small("Det", 1, 2, 2), small("Tanh", 1, 8), "--rounds", "2")
    tvm, ort, *_ = cells(out, "det.onnx")
    assert tvm == "–"
    assert float(ort) >= 0
    assert "- " in out
    assert "'Det'" in out
    assert float(cells(out, "tanh.onnx")[0]) >= 0

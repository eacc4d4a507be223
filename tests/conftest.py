import os
from pathlib import Path

import numpy as np
import onnx
import pytest

from suture.codegen.emulate import find_emulator
from suture.compiler.target import lambda_arm64
from suture.errors import BackendError

ROOT = Path(__file__).parent.parent


def pytest_addoption(parser):
    parser.addoption(
        "--fuzz-seconds", type=int, default=60, help="how long each target of tests/fuzz runs"
    )


@pytest.fixture(scope="session")
def digits():
    """The folder of the example that ships with the project."""
    return ROOT / "examples" / "digits"


@pytest.fixture(scope="session")
def zig_cache():
    """Zig's cache, which ``make setup`` fills with C libraries for every target."""
    home = Path.home() / ".cache" / "suture"
    folder = Path(os.environ.get("SUTURE_CACHE", home)) / "zig"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def cache(zig_cache, tmp_path_factory):
    """A cache folder for the whole run: accuracy is measured once; Zig is warm already."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "zig").symlink_to(zig_cache)
    return folder


@pytest.fixture(scope="session")
def arm64():
    """The target of arm64; skipped where no emulator can run what is compiled for it."""
    target = lambda_arm64()
    try:
        find_emulator(target.arch, target.mcpu)
    except BackendError as error:
        pytest.skip(str(error))
    return target


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    """A file with a small network, ``float[1, 3] x`` to ``float[1, 2] y``."""
    weights = onnx.numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("MatMul", ["x", "w"], ["m"], name="mix"),
            onnx.helper.make_node("Relu", ["m"], ["y"], name="clip"),
        ],
        "net",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 3])],
        [onnx.helper.make_tensor_value_info("y", 1, [1, 2])],
        [weights],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path

"""Programs for other processors, run by QEMU: arm64, and x86-64 of several kinds."""

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.codegen import emulate
from suture.codegen.emulate import build_runner, emulated, find_emulator
from suture.compiler.target import lambda_arm64, lambda_x86_64
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs
from suture.errors import BackendError, RequestError

pytestmark = pytest.mark.emulator

NODE = onnx.helper.make_node
PADDED = {"pads": [1, 1, 1, 1]}


def network(nodes, x, weights):
    """A model of nodes; weights are seeded numbers of the given shapes."""
    rng = np.random.default_rng(11)
    tensors = []
    for name, shape in weights.items():
        scale = np.sqrt(np.prod(shape[1:], dtype=float) or 1)
        array = (rng.standard_normal(shape) / scale).astype(np.float32)
        tensors.append(onnx.numpy_helper.from_array(array, name))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "net", [value("x", 1, x)], [value("y", 1, None)], tensors
    )
    opset = onnx.helper.make_opsetid("", 17)
    return ir.from_proto(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8))


NETWORKS = {
    "an image to ten classes": lambda: network(
        [
            NODE("Conv", ["x", "w1", "b1"], ["a"], pads=[2, 2, 2, 2]),
            NODE("Relu", ["a"], ["b"]),
            NODE("MaxPool", ["b"], ["c"], kernel_shape=[2, 2], strides=[2, 2]),
            NODE("Conv", ["c", "w2"], ["d"], pads=[2, 2, 2, 2]),
            NODE("MaxPool", ["d"], ["e"], kernel_shape=[3, 3], strides=[3, 3]),
            NODE("Flatten", ["e"], ["f"]),
            NODE("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
        ],
        [1, 1, 28, 28],
        {"w1": (8, 1, 5, 5), "b1": (8,), "w2": (16, 8, 5, 5), "w3": (10, 256), "b3": (10,)},
    ),
    "residual, depthwise, joined": lambda: network(
        [
            NODE("Conv", ["x", "w1", "b1"], ["a"], strides=[2, 2], **PADDED),
            NODE("Relu", ["a"], ["b"]),
            NODE("Conv", ["b", "dw"], ["c"], group=24, **PADDED),
            NODE("Conv", ["c", "pw"], ["d"]),
            NODE("Add", ["d", "b"], ["e"]),
            NODE("Relu", ["e"], ["f"]),
            NODE("Conv", ["f", "w2"], ["g"], **PADDED),
            NODE("Concat", ["f", "g"], ["h"], axis=1),
            NODE("GlobalAveragePool", ["h"], ["i"]),
            NODE("Flatten", ["i"], ["j"]),
            NODE("Softmax", ["j"], ["y"]),
        ],
        [1, 3, 19, 18],
        {
            "w1": (24, 3, 3, 3),
            "b1": (24,),
            "dw": (24, 1, 3, 3),
            "pw": (24, 24, 1, 1),
            "w2": (13, 24, 3, 3),
        },
    ),
    "products and a normalisation": lambda: network(
        [
            NODE("MatMul", ["x", "w1"], ["a"]),
            NODE("Add", ["a", "b1"], ["b"]),
            NODE("Tanh", ["b"], ["c"]),
            NODE("MatMul", ["c", "w2"], ["d"]),
            NODE("Add", ["d", "x"], ["e"]),
            NODE("LayerNormalization", ["e", "s", "t"], ["y"]),
        ],
        [1, 13, 40],
        {"w1": (40, 72), "b1": (72,), "w2": (72, 40), "s": (40,), "t": (40,)},
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_arm64_answers_as_onnx_runtime_does_here(name, arm64, tvm_backend, tmp_path):
    model = NETWORKS[name]()
    inputs = seeded_inputs(model, np.random.default_rng(2))
    compiled = tvm_backend.compile(model.clone(), arm64, tmp_path)
    assert "kernels for neoverse-n1" in compiled.notes
    answers = emulated(compiled, arm64, tvm_backend.cache)(inputs)
    assert_equal(run_reference(model, inputs), answers, what=name, rtol=1e-5)


def test_inputs_that_do_not_fit(arm64, conv_model, tvm_backend, tmp_path):
    compiled = tvm_backend.compile(conv_model.clone(), arm64, tmp_path)
    (program,) = emulated(compiled, arm64, tvm_backend.cache).programs
    with pytest.raises(RequestError, match="nothing is not float32"):
        program({})
    with pytest.raises(RequestError, match=r"float64\[1, 1, 12, 12\] is not float32"):
        program({"x": np.zeros((1, 1, 12, 12))})
    command = [*program._command]
    short = subprocess.run(command, input=b"123", capture_output=True, check=False)
    assert (short.returncode, short.stderr) == (1, b"the inputs are too short\n")
    command[-2] = "/dev/null"
    none = subprocess.run(command, capture_output=True, check=False)
    assert none.returncode == 1


def test_an_older_arm64_processor_is_told_what_it_lacks(
    arm64, conv_model, tvm_backend, tmp_path
):
    compiled = tvm_backend.compile(conv_model.clone(), arm64, tmp_path)
    (program,) = emulated(compiled, arm64, tvm_backend.cache).programs
    command = ["cortex-a57" if word == "neoverse-n1" else word for word in program._command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "this processor lacks the vector instructions of neoverse-n1" in done.stderr


@pytest.fixture(scope="module")
def qemu_x86():
    """QEMU for this machine's own instruction set, with the processor to be named."""
    target = lambda_x86_64()
    if not target.runs_here or shutil.which("qemu-x86_64-static") is None:
        pytest.skip("qemu-x86_64-static is not installed, or this machine is no x86-64")
    return find_emulator(target.arch, target.mcpu).command[:-1]


@pytest.mark.parametrize(
    ("cpu", "told"),
    [("Nehalem", "lacks the vector instructions of x86-64-v3"), ("Haswell", "too short")],
)
def test_x86_processors_are_asked_before_a_kernel_runs(
    cpu, told, qemu_x86, conv_model, tvm_backend, target, tmp_path
):
    compiled = tvm_backend.compile(conv_model.clone(), target, tmp_path)
    runner = build_runner(target, workdir=tmp_path, cache=tvm_backend.cache)
    command = [*qemu_x86, cpu, runner, compiled.files["libmodel.so"]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, input="")
    assert done.returncode == 1
    assert told in done.stderr.splitlines()[-1]


def test_a_missing_emulator_is_told(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: None)
    foreign = replace(lambda_arm64(), arch="z80")
    with pytest.raises(BackendError, match="cannot be run here without qemu-z80") as caught:
        find_emulator(foreign.arch, foreign.mcpu)
    assert "apt-get install qemu-user-static" in caught.value.hint


def test_a_missing_c_library_is_told(monkeypatch):
    monkeypatch.setattr(emulate.shutil, "which", lambda name: f"/bin/{name}")
    foreign = replace(lambda_arm64(), arch="z80")
    with pytest.raises(BackendError, match="without a C library under /usr/z80-linux-gnu"):
        find_emulator(foreign.arch, foreign.mcpu)

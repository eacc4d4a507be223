import dataclasses
from pathlib import Path

import numpy as np
import pytest
import tvm

from suture.codegen.aot import AotPlan, Call, Tensor
from suture.codegen.backend.base import Program, Slot
from suture.codegen.budget import WeightBudget
from suture.codegen.build import build
from suture.codegen.emulate import EmulatedProgram, build_runner, find_emulator
from suture.codegen.lower import Lowered
from suture.codegen.parallel import shared
from suture.codegen.pipeline import PIPELINE
from suture.codegen.processor import tvm_target
from suture.codegen.schedule.base import WIDTHS, Processor, ceil_div
from suture.compiler.target import lambda_arm64

NAN = {"float32": np.nan}
"""What stands where nothing was written."""
ARM64 = pytest.param("neoverse-n1", marks=pytest.mark.emulator)


@pytest.fixture(scope="session", params=["x86-64-v3", "x86-64-v4", ARM64])
def processor(request):
    """A vector unit, and TVM's target for it; skipped where nothing here can run it."""
    if request.param == "neoverse-n1":
        return WIDTHS[request.param], tvm_target(request.getfixturevalue("arm64"))
    flags = Path("/proc/cpuinfo").read_text("utf-8")
    if request.param == "x86-64-v4" and "avx512f" not in flags:
        pytest.skip("this machine has no AVX-512")
    target = tvm.target.Target({"kind": "llvm", "mcpu": request.param, "num-cores": 1})
    return WIDTHS[request.param], target


@pytest.fixture(scope="session")
def two_threads(processor):
    """As ``processor``, for rules that share their loops themselves."""
    vectors, target = processor
    return dataclasses.replace(vectors, threads=2), target


@pytest.fixture(scope="session")
def run(zig_cache, tmp_path_factory):
    """Compile a scheduled kernel and call it; return its last argument.

    It is compiled for two threads as well, every loop that may be shared, and the answer must
    be the same to the bit.
    """
    home = tmp_path_factory.mktemp("kernels")

    def run(kernel, arrays, out, target, dtype="float32"):
        arrays = [np.ascontiguousarray(array) for array in arrays]
        if "aarch64" in str(target.attrs.get("mtriple", "")):
            return emulate(kernel, arrays, (out, dtype), home=home, cache=zig_cache)
        kernels = {"one": kernel, "two": shared(kernel, 2, least_us=0)}
        named = {name: each.with_attr("global_symbol", name) for name, each in kernels.items()}
        library = tvm.compile(tvm.IRModule(named), target=target, tir_pipeline=PIPELINE)
        answers = []
        for name in kernels:
            whole = (*arrays, np.full(out, NAN.get(dtype, 99), dtype))
            tensors = [tvm.runtime.tensor(array) for array in whole]
            library[name](*tensors)
            answers.append(tensors[-1].numpy())
        np.testing.assert_array_equal(*answers)
        return answers[0]

    return run


def emulate(kernel, arrays, out, *, home, cache):
    """Run a kernel for arm64 as a program of one call."""
    target = lambda_arm64()
    inputs = tuple(
        Tensor(space="input", buffer=position, shape=array.shape, dtype=str(array.dtype))
        for position, array in enumerate(arrays)
    )
    shape, dtype = tuple(out[0]), out[1]
    output = Tensor(space="output", shape=shape, dtype=dtype)
    plan = AotPlan(
        tensors=(*inputs, output),
        calls=(Call("main", tuple(range(len(inputs) + 1))),),
        inputs=inputs,
        outputs=(output,),
        arena_bytes=0,
        weights=b"",
    )
    lowered = Lowered(
        module=tvm.IRModule({"main": kernel}),
        target=tvm_target(target),
        inputs=(),
        budget=WeightBudget(direct_bytes=0, limit=0, chosen={}, nbytes=0),
    )
    runner = home / "runner"
    if not runner.exists():
        build_runner(target, workdir=home, cache=cache)
    program = EmulatedProgram(
        build(lowered, plan, target, workdir=home / "kernel", cache=cache),
        Program(
            tuple(
                Slot(str(at), array.shape, str(array.dtype)) for at, array in enumerate(arrays)
            ),
            (Slot("out", shape, dtype),),
        ),
        emulator=find_emulator(target.arch, target.mcpu),
        runner=runner,
    )
    return program({str(place): array for place, array in enumerate(arrays)})["out"]


@pytest.fixture(scope="session")
def block():
    """Put channels of ``(channels, height, width)`` into blocks of one vector."""

    def block(image, processor: Processor):
        channels, height, width = image.shape
        blocks = ceil_div(channels, processor.lanes)
        whole = np.zeros((blocks * processor.lanes, height, width), np.float32)
        whole[:channels] = image
        tiles = whole.reshape(blocks, processor.lanes, height, width).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(tiles)

    return block

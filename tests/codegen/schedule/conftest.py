from pathlib import Path

import numpy as np
import pytest
import tvm

from suture.codegen.schedule.base import WIDTHS, Processor, ceil_div


@pytest.fixture(scope="session", params=["x86-64-v3", "x86-64-v4"])
def processor(request):
    """A vector unit, and TVM's target for it; skipped where this machine lacks it."""
    flags = Path("/proc/cpuinfo").read_text("utf-8")
    if request.param == "x86-64-v4" and "avx512f" not in flags:
        pytest.skip("this machine has no AVX-512")
    target = tvm.target.Target({"kind": "llvm", "mcpu": request.param, "num-cores": 1})
    return WIDTHS[request.param], target


@pytest.fixture(scope="session")
def run():
    """Compile a scheduled kernel and call it; return its last argument."""

    def run(kernel, arrays, out, target):
        library = tvm.compile(kernel.with_attr("global_symbol", "main"), target=target)
        tensors = [tvm.runtime.tensor(a) for a in (*arrays, np.full(out, np.nan, np.float32))]
        library["main"](*tensors)
        return tensors[-1].numpy()

    return run


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

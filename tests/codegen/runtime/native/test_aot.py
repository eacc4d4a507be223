"""The engine over a compiled library: which program runs, and what it answers."""

import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

AOT = Path(str(files("suture.codegen.runtime") / "native" / "aot.c"))
TEXT = """
net (float[N, 3] x, int32[N] n) => (float[N] y, int32[N, 2] m)
<int64[1] axes = {1}, float scale = {0.5}, int32[1, 2] pair = {1, 10}>
{
    half = Mul(x, scale)
    y = ReduceSum <keepdims = 0> (half, axes)
    column = Unsqueeze(n, axes)
    m = Mul(column, pair)
}
"""


def ports(*specs):
    return [
        {"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in specs
    ]


@pytest.fixture(scope="module", params=[(2,), (1, 4)], ids=["one program", "two programs"])
def ask(request, parse, tvm_backend, target, serve, tmp_path_factory):
    if not target.runs_here:
        pytest.skip("this machine is no x86-64")
    folder = tmp_path_factory.mktemp("aot")
    sizes = [{"N": size} for size in request.param]
    compiled = tvm_backend.compile(parse(TEXT), target, folder, sizes=sizes)
    library = compiled.files["libmodel.so"]
    only = request.param[0] if len(sizes) == 1 else -1
    model = {
        "name": "net",
        "version": "7",
        "inputs": ports(("x", "FP32", [only, 3]), ("n", "INT32", [only])),
        "outputs": ports(("y", "FP32", [only]), ("m", "INT32", [only, 2])),
    }
    if len(sizes) > 1:
        model["programs"] = [
            {"inputs": [[size, 3], [size]], "outputs": [[size], [size, 2]]}
            for size in request.param
        ]
    program = serve(model, "sanitized", (AOT, library, f"-Wl,-rpath,{library.parent}"))

    def ask(x, n):
        entries = [
            {"name": "x", "datatype": "FP32", "shape": list(x.shape), "data": x.tolist()},
            {"name": "n", "datatype": "INT32", "shape": list(n.shape), "data": n.tolist()},
        ]
        status, body, *_ = program.ask(json.dumps({"inputs": entries}).encode())
        return status, json.loads(body)

    return ask, request.param


def test_every_size_is_answered_in_turns(ask):
    ask, sizes = ask
    rng = np.random.default_rng(0)
    for size in (*sizes, *sizes):
        x = rng.standard_normal((size, 3)).astype(np.float32)
        n = rng.integers(-(2**20), 2**20, size).astype(np.int32)
        status, answer = ask(x, n)
        assert status == 200, answer
        y, m = answer["outputs"]
        assert (y["shape"], m["shape"]) == ([size], [size, 2])
        np.testing.assert_allclose(y["data"], x.sum(axis=1) / 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(m["data"], (n[:, None] * [1, 10]).ravel())


def test_other_sizes_are_refused(ask):
    ask, sizes = ask
    rows, numbers = np.zeros((3, 3), np.float32), np.zeros(sizes[-1], np.int32)
    status, answer = ask(rows, numbers)
    assert status == 400
    if len(sizes) == 1:
        assert answer["error"] == "input 'x' has shape [3, 3], this model takes [2, 3]"
    else:
        expected = r"no program for x \[3, 3\], n \[4\]; .* x \[1, 3\], n \[1\]; x \[4, 3\]"
        assert re.search(expected, answer["error"])

"""The memory of packages, run for real."""

import json
from dataclasses import replace

import numpy as np
import pytest

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.weigh import peak_rss_bytes
from suture.errors import InvokeError


@pytest.fixture
def backend(request, tvm_backend):
    return {"tvm": tvm_backend, "ort": OrtBackend()}[request.param]


@pytest.mark.parametrize("backend", ["tvm", "ort"], indirect=True)
def test_weights_and_activations_count(backend, parse, pack, target, tmp_path):
    """Twice the memory that a program must touch shows in its peak."""
    peaks = []
    for edge in (1024, 4096):
        model = parse(
            f"agraph (float[{edge},{edge}] x) => (float[{edge},{edge}] y) {{ y = Tanh(x) }}"
        )
        compiled = backend.compile(model, target, tmp_path / str(edge))
        inputs = {"x": np.zeros((edge, edge), np.float32)}
        peaks.append(peak_rss_bytes(pack(compiled, model), inputs))
    grown = peaks[1] - peaks[0]
    least = 2 * 4 * (4096**2 - 1024**2)  # input and output
    assert least <= grown <= 4 * least


def test_tvm_takes_less_than_onnx_runtime(
    conv_model, tvm_backend, random_inputs, pack, target, tmp_path
):
    """A package of TVM's loads no runtime library."""
    inputs = random_inputs(conv_model)
    ours, theirs = (
        peak_rss_bytes(
            pack(each.compile(conv_model, target, tmp_path / each.name), conv_model), inputs
        )
        for each in (tvm_backend, OrtBackend())
    )
    assert 2**20 < ours < theirs / 2


def test_a_package_that_does_not_run(
    conv_model, tvm_backend, random_inputs, pack, target, tmp_path
):
    made = pack(tvm_backend.compile(conv_model, target, tmp_path), conv_model)
    document = json.loads(made.files["model.json"])
    document["backend"] = "none"
    broken = replace(made, files={**made.files, "model.json": json.dumps(document).encode()})
    with pytest.raises(InvokeError, match="does not run: KeyError"):
        peak_rss_bytes(broken, random_inputs(conv_model))

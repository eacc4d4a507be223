"""Packages run as Lambda runs them: Amazon's client under a Runtime API on loopback."""

import base64
import json
import shutil

import numpy as np
import pytest

from suture.codegen.archive import extract, write_archive
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.invoke import invoke, read_model
from suture.codegen.package import write_package
from suture.codegen.request import arrays, file_event, random_event
from suture.compiler.verify import run_reference
from suture.errors import InvokeError, PackageError, RequestError


@pytest.fixture(scope="module", params=["tvm", "ort"])
def package(request, conv_model, tvm_backend, pack, target, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    backend = tvm_backend if request.param == "tvm" else OrtBackend()
    compiled = backend.compile(conv_model.clone(), target, folder / "build")
    return write_package(pack(compiled, conv_model), folder).path


def broken(package, tmp_path, **files):
    """Return a copy of a package with some of its files replaced."""
    extract(package, tmp_path / "in")
    content = {
        path.relative_to(tmp_path / "in").as_posix(): path.read_bytes()
        for path in (tmp_path / "in").rglob("*")
        if path.is_file()
    }
    content |= {f"suture_runtime/{name}.py": text.encode() for name, text in files.items()}
    write_archive(tmp_path / "broken.zip", content)
    return tmp_path / "broken.zip"


def test_answers_match_the_reference(package, conv_model):
    x = np.random.default_rng(3).standard_normal((1, 1, 12, 12)).astype(np.float32)
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 1, 12, 12]}
    event = {"inputs": [{**entry, "data": x.ravel().tolist()}]}
    result = invoke(package, event, cold=2, warm=3)
    expected = run_reference(conv_model, {"x": x})
    for name, array in arrays(result.output).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)
    assert (len(result.ready_ms), len(result.cold_ms), len(result.warm_ms)) == (2, 2, 3)
    assert all(r < c for r, c in zip(result.ready_ms, result.cold_ms, strict=True))
    assert 2**20 < result.max_rss_bytes < 2**30
    told = [json.loads(line) for line in result.telemetry]
    assert [line["cold"] for line in told] == [True, True, False, False, False]
    assert len({line["request_id"] for line in told}) == 5


def test_a_refused_request_is_an_answer(package):
    result = invoke(package, {"inputs": []}, warm=0)
    assert result.output["status"] == 400
    with pytest.raises(RequestError, match="refuses the request: input 'x' is missing"):
        arrays(result.output)


def test_nothing_but_the_package_is_on_the_path(package, tmp_path):
    bad = broken(package, tmp_path, entry="import numpy\n")
    with pytest.raises(InvokeError, match="No module named 'numpy'"):
        invoke(bad, {})


def test_a_handler_that_raises(package, tmp_path):
    bad = broken(
        package, tmp_path, entry="def handler(event, context):\n    raise KeyError('gone')\n"
    )
    with pytest.raises(InvokeError, match="KeyError: 'gone'"):
        invoke(bad, {})


def test_a_process_that_dies(package, tmp_path):
    bad = broken(package, tmp_path, entry="import os\nprint('last words')\nos._exit(3)\n")
    with pytest.raises(InvokeError, match=r"stopped; it printed\n  last words"):
        invoke(bad, {})


def test_a_handler_that_hangs(package, tmp_path):
    source = "import time\ndef handler(event, context):\n    time.sleep(60)\n"
    bad = broken(package, tmp_path, entry=source)
    with pytest.raises(InvokeError, match=r"no response within 1 s"):
        invoke(bad, {}, timeout_s=1.0)


def test_seeded_requests_fit_and_repeat(package):
    model = read_model(package)
    assert random_event(model, 1) == random_event(model, 1) != random_event(model, 2)
    assert "outputs" in invoke(package, random_event(model), warm=0).output


def test_a_request_from_a_file(package, conv_model, tmp_path):
    model = read_model(package)
    x = np.random.default_rng(4).standard_normal((1, 1, 12, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    event = file_event(tmp_path / "x.npy", model)
    assert base64.b64decode(event["inputs"][0]["data"]) == x.tobytes()
    (tmp_path / "event.json").write_text(json.dumps(event))
    assert file_event(tmp_path / "event.json", model) == event
    np.save(tmp_path / "bad.npy", x[0])
    with pytest.raises(RequestError, match=r"float32\[1, 12, 12\] is not the float32"):
        file_event(tmp_path / "bad.npy", model)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(RequestError, match="cannot be read"):
        file_event(tmp_path / "bad.json", model)
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(RequestError, match="JSON object"):
        file_event(tmp_path / "list.json", model)


def test_a_zip_that_is_no_package(tmp_path):
    write_archive(tmp_path / "other.zip", {"readme": b"hello"})
    with pytest.raises(InvokeError, match=r"no readable model.json"):
        read_model(tmp_path / "other.zip")
    write_archive(tmp_path / "other.zip", {"model.json": b"[]"})
    with pytest.raises(InvokeError, match="not one of suture's"):
        read_model(tmp_path / "other.zip")


def test_a_truncated_package(package, tmp_path):
    shutil.copyfile(package, tmp_path / "cut.zip")
    data = (tmp_path / "cut.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(PackageError, match="not a readable package"):
        invoke(tmp_path / "cut.zip", {})

"""Packages run as Lambda runs them, by themselves or by Amazon's client."""

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
def compiled(request, conv_model, tvm_backend, target, tmp_path_factory):
    backend = tvm_backend if request.param == "tvm" else OrtBackend()
    return backend.compile(conv_model.clone(), target, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def packages(compiled, conv_model, pack, tmp_path_factory):
    """A package of each runtime."""
    return {
        runtime: write_package(
            pack(compiled, conv_model, runtime=runtime), tmp_path_factory.mktemp(runtime)
        ).path
        for runtime in ("native", "python")
    }


@pytest.fixture(scope="module")
def package(packages):
    """The Python runtime's, which can be broken in more ways."""
    return packages["python"]


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


@pytest.mark.parametrize("runtime", ["native", "python"])
def test_answers_match_the_reference(packages, runtime, conv_model):
    package = packages[runtime]
    x = np.random.default_rng(3).standard_normal((1, 1, 12, 12)).astype(np.float32)
    entry = {"name": "x", "datatype": "FP32", "shape": [1, 1, 12, 12]}
    event = {"inputs": [{**entry, "data": x.ravel().tolist()}]}
    result = invoke(package, event, cold=2, warm=3)
    expected = run_reference(conv_model, {"x": x})
    for name, array in arrays(result.output).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)
    assert result.emulator is None
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


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"outputs": [{"name": "p"}, {"name": "logits", "parameters": {"binary_data": True}}]},
        {"parameters": {"binary_data_output": True, "profile": {"bucket": "b"}}},
        {"inputs": []},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 1, 12, 13], "data": []}]},
        {"outputs": [{"name": "none"}]},
        {"image": "aGVsbG8=", "inputs": None},
    ],
)
def test_both_runtimes_answer_alike(packages, change):
    model = read_model(packages["native"])
    event = {**random_event(model), "id": "7", **change}
    event = {key: value for key, value in event.items() if value is not None}
    native, python = (invoke(path, event, warm=0).output for path in packages.values())
    if "outputs" not in python:
        assert native["status"] == python["status"]
        assert native["error"].replace('"', "'") == python["error"].replace('"', "'")
        return
    both = arrays(native), arrays(python)
    assert list(both[0]) == list(both[1])
    for name, array in both[0].items():
        assert array.tobytes() == both[1][name].tobytes()
    texts = [[type(each.pop("data")) for each in one["outputs"]] for one in (native, python)]
    assert texts[0] == texts[1]
    assert native == python


def test_scalars_and_several_inputs(parse, tvm_backend, pack, target, tmp_path):
    model = parse(
        "g (float a, int64[2, 1] b, bool[3] c, double[1, 3] d)"
        "=> (float[2, 1] y, bool[3] n, double[3, 1] t, float s) {"
        " f = Cast <to = 1> (b) y = Add(f, a) n = Not(c)"
        " t = Transpose <perm = [1, 0]> (d) s = Neg(a) }"
    )
    compiled = tvm_backend.compile(model.clone(), target, tmp_path / "build")
    answers = []
    for runtime in ("native", "python"):
        package = pack(compiled, model, runtime=runtime)
        path = write_package(package, tmp_path / runtime).path
        event = random_event(read_model(path))
        answers.append(arrays(invoke(path, event, warm=0).output))
    native, python = answers
    assert [(name, array.shape) for name, array in native.items()] == [
        *(("y", (2, 1)), ("n", (3,)), ("t", (3, 1)), ("s", ()))
    ]
    for name, array in native.items():
        np.testing.assert_array_equal(array, python[name])


def test_what_models_say_of_themselves(packages):
    native, python = map(read_model, packages.values())
    assert {**native, "runtime": "python"} == python
    assert native["runtime"] == "native"


@pytest.mark.emulator
def test_a_native_package_for_arm64(conv_model, tvm_backend, pack, arm64, packages, tmp_path):
    """QEMU stands in for the processor; the answer is that of this machine's package."""
    compiled = tvm_backend.compile(conv_model.clone(), arm64, tmp_path / "build")
    paths = {
        runtime: write_package(
            pack(compiled, conv_model, runtime=runtime, target=arm64), tmp_path / runtime
        ).path
        for runtime in ("native", "python")
    }
    event = random_event(read_model(paths["native"]))
    result = invoke(paths["native"], event, warm=1)
    assert result.emulator is not None
    assert "qemu-aarch64" in result.emulator
    expected = arrays(invoke(packages["native"], event, warm=0).output)
    for name, array in arrays(result.output).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-5, atol=1e-5)
    with pytest.raises(InvokeError, match="it is for aarch64, and this machine is"):
        invoke(paths["python"], event)


def test_a_native_program_that_does_not_start(packages, tmp_path):
    extract(packages["native"], tmp_path / "in")
    content = {path.name: path.read_bytes() for path in (tmp_path / "in").iterdir()}
    content["bootstrap"] = b"#!/bin/sh\necho last words\nexit 3\n"
    write_archive(tmp_path / "broken.zip", content)
    with pytest.raises(InvokeError, match=r"stopped; it printed\n  last words"):
        invoke(tmp_path / "broken.zip", {})


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

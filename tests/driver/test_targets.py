"""Packages for other processors than this machine's."""

import dataclasses
import json
from zipfile import ZipFile

import pytest

from suture.codegen.deployment import deployment
from suture.compiler.target import lambda_arm64
from suture.compiler.task import read_task
from suture.driver.compiling import compile_model, compile_task
from suture.errors import BackendError, PackageError


@pytest.fixture
def compile_for_arm64(net, records, options, tmp_path):
    def compile_for_arm64(**more):
        return compile_model(
            net,
            [lambda_arm64()],
            tmp_path / "out",
            bind={},
            inputs=None,
            options=dataclasses.replace(options, **more),
            records=records,
            say=lambda line: None,
        ).built[0]

    return compile_for_arm64


@pytest.mark.emulator
def test_arm64_is_verified_and_not_timed(compile_for_arm64, arm64):
    built = compile_for_arm64()
    shipped = built.shipped
    assert built.written.backend == "tvm"
    assert built.reason == "unmeasured: this machine cannot time programs for aarch64"
    assert shipped.median_ms is shipped.p95_ms is None
    assert shipped.max_abs_err < 1e-5
    assert shipped.notes[0].startswith("answers verified under qemu-aarch64")
    (other,) = [each for each in built.attempts if each.backend == "ort"]
    assert "not aarch64" in other.notes[0]
    with ZipFile(built.written.path) as package:
        assert json.loads(package.read("model.json"))["arch"] == "aarch64"
        assert package.read("bootstrap")[18:20] == b"\xb7\x00"  # EM_AARCH64 (ELF)
    assert "architecture: arm64" in deployment(built.written).text


def test_without_an_emulator_the_report_says_so(compile_for_arm64, monkeypatch):
    monkeypatch.setattr("suture.codegen.emulate.shutil.which", lambda name: None)
    shipped = compile_for_arm64().shipped
    assert shipped.max_abs_err is None
    assert "answers not verified: programs for aarch64 cannot be run here" in shipped.notes[0]
    assert "apt-get install" in shipped.notes[0]


def test_onnx_runtime_of_another_processor(compile_for_arm64):
    with pytest.raises(BackendError, match="not aarch64"):
        compile_for_arm64(backend="ort")


def test_images_in_python_need_a_pillow_of_the_processor(digits, records, options, tmp_path):
    task = dataclasses.replace(read_task(digits / "task.toml"), targets=(lambda_arm64(),))
    options = dataclasses.replace(options, runtime="python")
    with pytest.raises(PackageError, match="not on aarch64") as caught:
        compile_task(
            task, None, tmp_path, options=options, records=records, say=lambda line: None
        )
    assert "compile on an aarch64 machine" in caught.value.hint

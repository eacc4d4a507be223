import os
import shlex
import subprocess
import sys

import pytest

from suture.codegen.archive import write_archive
from suture.codegen.deployment import deployment
from suture.codegen.package import HANDLER, Written
from suture.compiler.target import find_target


@pytest.fixture
def written(tmp_path):
    def written(target):
        path = tmp_path / f"net-{target}.zip"
        digest = write_archive(path, {"main.py": b"answer = None"})
        return Written(
            name="net",
            target=find_target(target),
            backend="tvm",
            runtime="python",
            python="python3.13",
            path=path,
            digest=digest,
            nbytes=1,
            unzipped_bytes=1,
        )

    return written


def test_lambda(written):
    package = written("lambda-x86_64")
    made = deployment(package)
    assert made.name == "serverless.yml"
    assert deployment(package, "-lambda-x86_64").name == "serverless-lambda-x86_64.yml"
    lines = [line.strip() for line in made.text.splitlines()]
    assert f"artifact: {package.path.name}" in lines
    assert f"handler: {HANDLER}" in lines
    assert f"memorySize: {package.target.memory_mb}" in lines
    assert "runtime: python3.13" in lines
    assert "architecture: x86_64" in lines


def test_lambda_starts_a_native_package_by_itself(written):
    package = written("lambda-arm64")
    made = deployment(Written(**{**vars(package), "runtime": "native", "python": None}))
    lines = [line.strip() for line in made.text.splitlines()]
    assert "runtime: provided.al2023" in lines
    assert "handler: bootstrap" in lines
    assert "architecture: arm64" in lines


# Google's tool is not to be had here: a program of its name shows what it would be given.
SHOW = """#!/bin/sh
printf '%s\\n' "$@"
for word; do case $word in --source=*) ls "${word#--source=}" ;; esac; done
"""


@pytest.mark.parametrize(
    ("memory_mb", "bought"), [(2048, ["--cpu=1"]), (4096, ["--cpu=2"]), (512, [])]
)
def test_google_cloud(written, tmp_path, memory_mb, bought):
    package = written("gcf-x86_64")
    made = deployment(
        Written(**{**vars(package), "target": package.target.with_memory(memory_mb)})
    )
    assert made.name == "deploy.sh"
    (tmp_path / made.name).write_text(made.text, "utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "gcloud").write_text(SHOW, "utf-8")
    (tools / "gcloud").chmod(0o755)
    (tools / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["sh", tmp_path / made.name, "--region=europe-west1"],
        env={"PATH": f"{tools}:{os.defpath}", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    words = done.stdout.splitlines()
    assert words[:5] == shlex.split("functions deploy net --gen2 --runtime=python313")
    assert {"--entry-point=answer", "--concurrency=1", f"--memory={memory_mb}Mi"} <= set(words)
    assert [word for word in words if word.startswith("--cpu")] == bought
    assert words[-2:] == ["--region=europe-west1", "main.py"]
    assert not list(tmp_path.glob("tmp.*")), "the unpacked package is gone"

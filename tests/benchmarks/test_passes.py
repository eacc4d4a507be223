"""Two runs of the suite of passes, and pytest-benchmark's comparison of them."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_two_pipelines_are_compared_by_pytest_benchmark(tmp_path):
    storage = f"file://{tmp_path}"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for pipeline in ("none", "exact"):
        chosen = ("--passes", pipeline, "--benchmark-save", pipeline)
        chosen += ("--benchmark-storage", storage, "-p", "no:cacheprovider")
        run("pytest", "-q", "benchmarks/passes", "-k", "squeezenet", *chosen)
    compared = run("pytest_benchmark", "--storage", storage, "compare")
    for name in ("test_passes[squeezenet-plain]", "test_result[squeezenet]"):
        assert compared.count(name) == 2, compared
    assert "0001_none" in compared
    assert "0002_exact" in compared

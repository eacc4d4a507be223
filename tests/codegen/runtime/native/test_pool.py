import os
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from suture.codegen.link import KERNELS

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
SANITIZERS = {
    "optimised": ("-O2",),
    "data races": ("-O1", "-g", "-fsanitize=thread"),
    "memory": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


@pytest.fixture(params=SANITIZERS)
def run(request, tmp_path):
    """Compile files with a sanitizer and run them; return exit status and what is printed."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no gcc or clang here, whose sanitizers this needs")

    def run(*sources):
        command = [
            *(compiler, "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"),
            *(*SANITIZERS[request.param], "-pthread", "-I", str(RUNTIME)),
            *(*map(str, sources), "-o", str(tmp_path / "program")),
        ]
        subprocess.run(command, check=True)
        # The pool allocates nothing, and looking for leaks goes astray in a forked child.
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
        done = subprocess.run(
            [str(tmp_path / "program")],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_the_pool_holds_what_it_promises(run):
    assert run(RUNTIME / "pool.c", HERE / "pool_test.c") == (0, "", "")


def test_tasks_do_not_share_workspaces(run):
    sources = [RUNTIME / name for name in ("pool.c", "scratch.c")]
    assert run(*sources, HERE / "scratch_test.c") == (0, "", "")


def test_an_error_of_a_task_is_told(run):
    sources = [RUNTIME / name for name in KERNELS]
    assert run(*sources, HERE / "failing_plan.c") == (0, "", "")


def test_weights_are_mapped_ahead_but_for_those_of_branches(run):
    assert run(RUNTIME / "ahead.c", HERE / "ahead_test.c") == (0, "", "")

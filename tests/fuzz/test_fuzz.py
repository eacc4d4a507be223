"""libFuzzer, with sanitizers, on code that reads what strangers send; side by side."""

import contextlib
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from suture.codegen.decoder import decoder_source

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
ENGINE = HERE.parent / "codegen" / "runtime" / "native" / "echo_engine.c"
DECODING = (
    *("answer", "base64", "data", "events", "image_none", "inputs"),
    *("json", "numbers", "protocol", "serve", "text"),
)
TARGETS = {
    "request": DECODING,
    "event": DECODING,
    "base64": ("base64", "text"),
    "http": ("http", "stop", "text"),
    "image": ("image", "text"),
}
FLAGS = (
    *("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g"),
    *("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"),
)


@pytest.fixture(scope="module")
def running(request, tmp_path_factory):
    """Compile all targets and start them together; give the process and the log of each."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang here, whose libFuzzer this needs")
    seconds = request.config.getoption("--fuzz-seconds")
    folders = {name: tmp_path_factory.mktemp(name) for name in TARGETS}
    for name, sources in TARGETS.items():
        served = (ENGINE, HERE / "fuzzed.c") if sources is DECODING else ()
        inputs = (HERE / f"{name}.c", *served, *(RUNTIME / f"{file}.c" for file in sources))
        if "image" in sources:
            (folders[name] / "wuffs.c").write_bytes(decoder_source())
        command = [clang, *FLAGS, "-isystem", ".", "-I", str(RUNTIME), *map(str, inputs)]
        subprocess.run([*command, "-lm", "-o", "fuzz"], check=True, cwd=folders[name])
        shutil.copytree(HERE / "corpus" / name, folders[name] / "corpus")
    with contextlib.ExitStack() as stack:
        yield {
            name: (stack.enter_context(_started(folder, seconds)), folder / "log")
            for name, folder in folders.items()
        }


@contextlib.contextmanager
def _started(folder, seconds):
    # Not -rss_limit_mb: that counts what the parent held before exec.
    limits = (
        *("-timeout=10", "-rss_limit_mb=0", "-malloc_limit_mb=512", "-max_len=4096"),
        "-print_final_stats=1",
    )
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [
                "./fuzz",
                f"-max_total_time={seconds}",
                *limits,
                "corpus",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        yield process
        process.kill()


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_breaks(running, name):
    process, log = running[name]
    status = process.wait()
    text = log.read_text("utf-8", "replace")
    executed = re.search(r"stat::number_of_executed_units: +(\d+)", text)
    assert status == 0, text[-4000:]
    assert int(executed[1]) > 1000, text[-4000:]

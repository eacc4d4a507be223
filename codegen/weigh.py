"""How much memory a program takes where it ships: in its package's runtime, alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from suture.codegen.archive import Content
from suture.codegen.invoke import invoke
from suture.codegen.link import PROGRAM
from suture.codegen.package import RUNTIME, Package
from suture.codegen.request import tensor
from suture.compiler.verify import Arrays
from suture.errors import InvokeError, Location

RUNS = 3
MOST_EVENT_BYTES = 63 * 2**20
"""Of the 64 that the runtime takes, names and shapes left out."""

RUN = f"""
import re, sys
sys.path.insert(0, "")
from {RUNTIME} import handler, protocol
function = handler.Function(".")
tensors = {{}}
for number, spec in enumerate(function.model["inputs"]):
    with open("inputs/" + str(number), "rb") as stream:
        data = stream.read()
    tensors[spec["name"]] = protocol.Tensor(spec["datatype"], spec["example"], data)
for _ in range({RUNS}):
    function.engine.run(tensors)
with open("/proc/self/status") as status:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1])
"""


def peak_rss_bytes(package: Package, inputs: Arrays) -> int | None:
    """Return the greatest resident memory of a process that loads a package and runs it.

    That is the runtime, the weights it touches and the activations; the interpreter too where
    it is Python's, and where it is native the requests as they come, in base64.

    Args:
        package: A package for this machine.
        inputs: A request, as arrays by input name, of the shapes of its examples.

    Returns:
        Bytes, or None where the native runtime would not take a request as large.

    Raises:
        InvokeError: The program fails there; carries what it printed.
    """
    model = package.files["model.json"]
    assert isinstance(model, bytes)
    specs = json.loads(model)["inputs"]
    with tempfile.TemporaryDirectory(prefix="suture-weigh-") as name_of_folder:
        folder = Path(name_of_folder)
        for name, content in package.files.items():
            _place(content, folder / name)
        if package.runtime == "native":
            return _serving(folder, specs, inputs)
        for number, spec in enumerate(specs):
            _place(inputs[spec["name"]].tobytes(), folder / "inputs" / str(number))
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-c", RUN],
            cwd=folder,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise InvokeError(f"the package does not run: {last}", at=Location(package.name))
    return int(done.stdout) * 1024


def _serving(folder: Path, specs: Sequence[Mapping[str, Any]], inputs: Arrays) -> int | None:
    """Return the greatest resident memory of a native program that answers a few requests."""
    at = Location(PROGRAM)
    entries = [tensor(spec, inputs[spec["name"]], at) for spec in specs]
    if sum(len(entry["data"]) for entry in entries) > MOST_EVENT_BYTES:
        return None
    event = {"inputs": entries, "parameters": {"binary_data_output": True}}
    done = invoke(folder, event, warm=RUNS - 1)
    if "outputs" not in done.output:
        raise InvokeError(f"the package does not run: {done.output}", at=at)
    return done.max_rss_bytes


def _place(content: Content, path: Path) -> None:
    """Put content into a file, and where it can be without a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    try:
        os.link(content.resolve(), path)
    except OSError:
        shutil.copyfile(content, path)

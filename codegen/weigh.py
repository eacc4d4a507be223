"""How much memory a program takes where it ships: in its package's runtime, alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from suture.codegen.archive import Content
from suture.codegen.package import RUNTIME, Package
from suture.compiler.verify import Arrays
from suture.errors import InvokeError, Location

RUNS = 3

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


def peak_rss_bytes(package: Package, inputs: Arrays) -> int:
    """Return the greatest resident memory of a process that loads a package and runs it.

    That is the interpreter, the runtime, the weights it touches and the activations.

    Args:
        package: A package for this machine.
        inputs: A request, as arrays by input name, of the shapes of its examples.

    Raises:
        InvokeError: The program fails there; carries what it printed.
    """
    model = package.files["model.json"]
    assert isinstance(model, bytes)
    names = [spec["name"] for spec in json.loads(model)["inputs"]]
    with tempfile.TemporaryDirectory(prefix="suture-weigh-") as name_of_folder:
        folder = Path(name_of_folder)
        for name, content in package.files.items():
            _place(content, folder / name)
        for number, name in enumerate(names):
            _place(inputs[name].tobytes(), folder / "inputs" / str(number))
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

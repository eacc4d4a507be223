"""How the process of a package is started: by itself, or by Amazon's client in Python."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from suture.codegen.emulate import Emulator, find_emulator
from suture.codegen.link import PROGRAM
from suture.errors import InvokeError, Location

CLIENT = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")
"""Amazon's client and what it imports; nothing else is on the function's path."""

START = """
import sys
sys.path[:0] = sys.argv[1:3]
from awslambdaric.__main__ import main
main([sys.argv[0], sys.argv[3]])
"""


@dataclass(frozen=True)
class Start:
    """A command that serves a package.

    Attributes:
        command: The program and its arguments.
        handler: What Lambda is told to call.
        emulator: What stands in for the package's processor, None for this machine's own.
    """

    command: tuple[str, ...]
    handler: str
    emulator: str | None = None


@contextmanager
def launch(folder: Path, handler: str) -> Iterator[Start]:
    """Yield how to start the package in a folder.

    Args:
        folder: Where the package's files are.
        handler: What Python is told to call, ``module.function``.

    Raises:
        InvokeError: It is Python's and for another architecture than this machine's, or
            Amazon's client is not installed.
        BackendError: It is native, and there is no emulator of its processor here.
    """
    emulator = _emulator(folder)
    if (folder / PROGRAM).is_file():
        before = emulator.command if emulator else ()
        named = str(emulator) if emulator else None
        yield Start((*before, str(folder / PROGRAM)), PROGRAM, named)
        return
    with _client() as client:
        python = (sys.executable, "-I", "-S", "-B", "-c", START)
        yield Start((*python, str(folder), str(client), handler), handler)


def _emulator(folder: Path) -> Emulator | None:
    """Return what a package needs to run here, None for nothing."""
    path = folder / "model.json"
    arch = json.loads(path.read_text("utf-8")).get("arch") if path.is_file() else None
    if arch in (None, platform.machine()):
        return None
    if (folder / PROGRAM).is_file():
        return find_emulator(arch)
    raise InvokeError(
        f"it is for {arch}, and this machine is {platform.machine()}",
        at=Location("model.json", "arch"),
        hint=f"invoke it on an {arch} machine, or compile for another --target",
    )


@contextmanager
def _client() -> Iterator[Path]:
    """Yield a folder with Amazon's client and nothing else."""
    with tempfile.TemporaryDirectory(prefix="suture-client-") as name:
        for module in CLIENT:
            spec = importlib.util.find_spec(module)
            if spec is None or spec.origin is None:
                raise InvokeError(
                    f"{module}, a part of Amazon's runtime client, is not installed",
                    hint="pip install 'suture[aws]'",
                )
            origin = Path(spec.origin)
            source = origin.parent if spec.submodule_search_locations else origin
            (Path(name) / source.name).symlink_to(source)
        yield Path(name)

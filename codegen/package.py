"""From a compiled model to the files of one deployable function."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import onnx_ir as ir

from suture import __version__
from suture.codegen.archive import Content, content_size, write_archive
from suture.codegen.backend.base import Compiled
from suture.codegen.recipe import Source
from suture.codegen.render import render
from suture.codegen.vendor import bytecode, pillow_files
from suture.compiler.component import Port
from suture.compiler.target import Target
from suture.errors import Location, PackageError

FORMAT = 1
RUNTIME = "suture_runtime"
HANDLER = f"{RUNTIME}.entry.handler"
ENTRY = "answer"
"""Name in ``main.py`` of what Google Cloud Functions calls."""
ENGINES = {"tvm": "aot.py", "ort": "ort.py"}
DEFAULT_PYTHON = "python3.13"

DATATYPES = {"float16": "FP16", "float32": "FP32", "float64": "FP64", "bool": "BOOL"} | {
    f"{sign}int{bits}": f"{sign}int{bits}".upper()
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""NumPy's names of element types → those of the Open Inference Protocol."""

IMAGE_MODES = {("image/gray", 2): "L", ("image/rgb", 3): "RGB"}
"""Kind and rank of an input that takes decoded images → Pillow's mode."""


@dataclass(frozen=True, kw_only=True)
class Package:
    """The files of one deployable function, before any touch a disk.

    Attributes:
        name: Of the function and the archive.
        target: Where it runs.
        backend: ``tvm`` or ``ort``.
        python: Lambda's name of the interpreter, for example ``python3.13``.
        files: Name inside the package → its content.
    """

    name: str
    target: Target
    backend: str
    python: str
    files: Mapping[str, Content]

    @property
    def unzipped_bytes(self) -> int:
        """Bytes of all files."""
        return sum(map(content_size, self.files.values()))


@dataclass(frozen=True, kw_only=True)
class Written:
    """A package on disk.

    Attributes:
        name: As the package's.
        target: As the package's.
        backend: As the package's.
        python: As the package's.
        path: The archive.
        digest: Its SHA-256.
        nbytes: Its size.
        unzipped_bytes: Size of what is in it.
    """

    name: str
    target: Target
    backend: str
    python: str
    path: Path
    digest: str
    nbytes: int
    unzipped_bytes: int


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a package says of itself.

    Attributes:
        name: Name of the model it serves.
        version: Its version, from the content.
        plan: The plan's name and digest, or None for a model without a task.
        entry: The task's input, or None.
        sources: What it is made from.
    """

    name: str
    version: str
    plan: tuple[str, str] | None = None
    entry: Port | None = None
    sources: tuple[Source, ...] = ()


def assemble(
    compiled: Compiled,
    model: ir.Model,
    identity: Identity,
    target: Target,
    *,
    examples: Mapping[str, tuple[int, ...]],
) -> Package:
    """Return the package of the Python flavour: handler, runtime, model and model.json.

    Args:
        compiled: What a backend made of the model.
        model: The model.
        identity: What the package says of itself.
        target: Where it runs.
        examples: A shape of each input that the model was seen to run with.

    Raises:
        PackageError: An input or output has an element type that requests cannot carry, or
            images are to be decoded on another architecture than this machine's.
    """
    check_entry(identity.entry, target)
    image = image_entry(identity.entry)
    inputs = [v for v in model.graph.inputs if v.name not in model.graph.initializers]
    kinds = {identity.entry.name: identity.entry.kind} if identity.entry else {}
    document = {
        "format": FORMAT,
        "name": identity.name,
        "version": identity.version,
        "suture": __version__,
        "backend": compiled.backend,
        "threads": target.threads,
        "arch": target.arch,
        "inputs": [
            {**_spec(value, kinds), "example": list(examples[str(value.name)])}
            for value in inputs
        ],
        "outputs": [_spec(value, kinds) for value in model.graph.outputs],
        "plan": identity.plan and dict(zip(("name", "digest"), identity.plan, strict=True)),
        "image": image,
    }
    if len(compiled.programs) > 1:
        document["programs"] = [
            {
                "inputs": [list(slot.shape) for slot in program.inputs],
                "outputs": [list(slot.shape) for slot in program.outputs],
            }
            for program in compiled.programs
        ]
    content: dict[str, Content] = dict(compiled.files)
    content["model.json"] = (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()
    content |= _runtime_files(compiled.backend, target, image=image is not None)
    python = DEFAULT_PYTHON
    if image is not None:
        content |= pillow_files()
        content |= bytecode(content)
        python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return Package(
        name=identity.name,
        target=target,
        backend=compiled.backend,
        python=python,
        files=content,
    )


def write_package(package: Package, folder: Path) -> Written:
    """Write ``NAME-TARGET.zip``, and refuse what the platform would.

    Raises:
        PackageError: It is over a limit of the platform, or cannot be written.
    """
    _check_size(
        package, "unzipped", package.unzipped_bytes, package.target.unzipped_limit_bytes
    )
    path = folder / f"{package.name}-{package.target.name}.zip"
    digest = write_archive(path, package.files)
    nbytes = path.stat().st_size
    try:
        _check_size(package, "zipped", nbytes, package.target.zip_limit_bytes)
    except PackageError:
        path.unlink()
        raise
    return Written(
        name=package.name,
        target=package.target,
        backend=package.backend,
        python=package.python,
        path=path,
        digest=digest,
        nbytes=nbytes,
        unzipped_bytes=package.unzipped_bytes,
    )


def check_entry(entry: Port | None, target: Target) -> None:
    """Raise where a package would need Pillow for another architecture than this machine's.

    Raises:
        PackageError: It would.
    """
    if image_entry(entry) is not None and not target.runs_here:
        raise PackageError(
            f"requests are images, and the Pillow installed here decodes them on "
            f"{platform.machine()}, not on {target.arch}",
            at=Location(target.name),
            hint=f"compile on an {target.arch} machine, or let the task's input be float32",
        )


def image_entry(entry: Port | None) -> dict[str, str] | None:
    """Return which input takes decoded images and their mode, or None."""
    if entry is None or entry.dtype != "uint8":
        return None
    mode = IMAGE_MODES.get((entry.kind, len(entry.shape)))
    return {"input": entry.name, "mode": mode} if mode else None


def _spec(value: ir.Value, kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return one input or output as model.json has it; -1 is a size that requests choose."""
    dtype = value.dtype.numpy().name if value.dtype is not None else "unknown"
    if dtype not in DATATYPES or value.shape is None:
        raise PackageError(
            f"requests cannot carry {dtype} of shape {value.shape}",
            at=Location("model", None, value.name),
            hint="wrap the model so that its ports are numeric tensors of known rank",
        )
    return {
        "name": value.name,
        "datatype": DATATYPES[dtype],
        "shape": [dim if isinstance(dim, int) else -1 for dim in value.shape],
        "kind": kinds.get(str(value.name), "tensor"),
    }


def _runtime_files(backend: str, target: Target, *, image: bool) -> dict[str, Content]:
    """Return the modules of the Python runtime that a package uses, and its platform's own."""
    unused = {name for key, name in ENGINES.items() if key != backend}
    if not image:
        unused.add("image.py")
    if target.provider != "gcf":
        unused.add("google.py")
    folder = resources("suture.codegen.runtime") / "python"
    modules: dict[str, Content] = {
        f"{RUNTIME}/{source.name}": source.read_bytes()
        for source in folder.iterdir()
        if source.name.endswith(".py") and source.name not in unused
    }
    own = ("main.py", "requirements.txt") if target.provider == "gcf" else ()
    return modules | {
        name: render(target.provider, name, runtime=RUNTIME, entry=ENTRY).encode()
        for name in own
    }


def _check_size(package: Package, what: str, nbytes: int, limit: int) -> None:
    if nbytes <= limit:
        return
    largest: Sequence[tuple[str, Content]] = sorted(
        package.files.items(), key=lambda item: -content_size(item[1])
    )
    shown = ", ".join(f"{n} {content_size(c) / 2**20:.1f} MB" for n, c in largest[:3])
    raise PackageError(
        f"{nbytes / 2**20:.1f} MB {what} is over the {limit / 2**20:.0f} MB that "
        f"{package.target.name} takes; the largest files are {shown}",
        at=Location(package.name),
        hint="choose smaller components, or try the other --backend",
    )

"""From a compiled model to the files of one deployable function."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from suture.codegen.archive import Content, Form, content_size, write_archive
from suture.codegen.backend.base import Compiled
from suture.codegen.document import document_bytes
from suture.codegen.flavour import Runtime
from suture.codegen.link import LIBRARY, PROGRAM, link_program
from suture.codegen.render import render
from suture.codegen.vendor import bytecode, pillow_files
from suture.compiler.target import Target
from suture.errors import Location, PackageError

RUNTIME = "suture_runtime"
HANDLER = f"{RUNTIME}.entry.handler"
ENTRY = "answer"
"""Name in ``main.py`` of what Google Cloud Functions calls."""
ENGINES = {"tvm": "aot.py", "ort": "ort.py"}
DEFAULT_PYTHON = "python3.13"


@dataclass(frozen=True, kw_only=True)
class Package:
    """The files of one deployable function, before any touch a disk.

    Attributes:
        name: Of the function and the archive.
        target: Where it runs.
        backend: ``tvm`` or ``ort``.
        runtime: What serves it.
        python: Lambda's name of the interpreter, for example ``python3.13``; None where the
            runtime is native.
        files: Name inside the package → its content.
        form: What they are packed as.
    """

    name: str
    target: Target
    backend: str
    runtime: Runtime
    python: str | None
    files: Mapping[str, Content]
    form: Form = "zip"

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
        runtime: As the package's.
        python: As the package's.
        path: The archive.
        digest: Its SHA-256.
        nbytes: Its size.
        unzipped_bytes: Size of what is in it.
        form: As the package's.
    """

    name: str
    target: Target
    backend: str
    runtime: Runtime
    python: str | None
    path: Path
    digest: str
    nbytes: int
    unzipped_bytes: int
    form: Form = "zip"

    @classmethod
    def of(cls, package: Package, path: Path, digest: str) -> Written:
        """Return a package that lies at a path."""
        return cls(
            name=package.name,
            target=package.target,
            backend=package.backend,
            runtime=package.runtime,
            python=package.python,
            path=path,
            digest=digest,
            nbytes=path.stat().st_size,
            unzipped_bytes=package.unzipped_bytes,
            form=package.form,
        )


def assemble(
    compiled: Compiled,
    document: Mapping[str, Any],
    target: Target,
    *,
    runtime: Runtime,
    cache: Path,
    form: Form = "zip",
) -> Package:
    """Return a package: model.json, the model, and what serves it.

    Args:
        compiled: What a backend made of the model.
        document: What is in model.json.
        target: Where it runs.
        runtime: What serves it.
        cache: Zig's cache.
        form: What it is to be packed as. There is no C library in an image but the one that
            the native program brings.

    Raises:
        BackendError: The native program cannot be linked.
    """
    document = {**document, "runtime": runtime}
    files: dict[str, Content] = {"model.json": document_bytes(document)}
    python = None
    if runtime == "python":
        python, added = _python_files(compiled, document, target)
        files |= added
    else:
        files |= {name: path for name, path in compiled.files.items() if name != LIBRARY}
        files[PROGRAM] = link_program(
            compiled.parts, document, target, cache=cache, static=form == "oci"
        )
    return Package(
        name=document["name"],
        target=target,
        backend=compiled.backend,
        runtime=runtime,
        python=python,
        files=files,
        form=form,
    )


def _python_files(
    compiled: Compiled, document: Mapping[str, Any], target: Target
) -> tuple[str, dict[str, Content]]:
    """Return the interpreter and the files of the Python runtime, the model among them."""
    image = document["image"] is not None
    files = {**compiled.files, **_runtime_files(compiled.backend, target, image=image)}
    if not image:
        return DEFAULT_PYTHON, files
    files |= pillow_files()
    files |= bytecode(files)
    return f"python{sys.version_info.major}.{sys.version_info.minor}", files


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
    return Written.of(package, path, digest)


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

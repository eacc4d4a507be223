"""A folder of components, kept consistent while several processes write to it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.version import Version

from suture.compiler.component import Component
from suture.compiler.inspect import read_ports, read_resources
from suture.compiler.manifest import (
    MANIFEST,
    MODEL,
    external_files,
    model_digest,
    read_manifest,
    write_manifest,
)
from suture.compiler.model import load_model, opset_of
from suture.compiler.session import open_session
from suture.errors import LibraryError, Location, ManifestError

LOCK = ".lock"
POLL_S = 0.05


@dataclass(frozen=True)
class Library:
    """Components under ``root/name/version``; a version is written once and never changed.

    Attributes:
        root: The folder; made by the first write.
        lock_timeout_s: How long a writer waits for another process.
    """

    root: Path
    lock_timeout_s: float = 10.0

    def __iter__(self) -> Iterator[Component]:
        """Yield every component, by name and then by rising version."""
        yield from sorted(
            (read_manifest(path) for path in self.root.glob(f"[!.]*/*/{MANIFEST}")),
            key=lambda component: (component.name, Version(component.version)),
        )

    def get(self, ref: str) -> Component:
        """Return ``name@version``, or the newest version of ``name``.

        Raises:
            LibraryError: There is none; the hint lists what there is.
        """
        name, _, version = ref.partition("@")
        found = [c for c in self if c.name == name and version in ("", c.version)]
        if not found:
            names = ", ".join(component.ref for component in self) or "nothing"
            raise LibraryError(
                f"no component {ref!r}", at=Location(str(self.root)), hint=f"it holds {names}"
            )
        return found[-1]

    def add(self, component: Component) -> Component:
        """Copy a component's model in and write its manifest, both or neither.

        Returns:
            The component with the path it has in the library.

        Raises:
            LibraryError: The version is there with other content.
        """
        folder = self.root / component.name / component.version
        with self._writing():
            if (folder / MANIFEST).exists():
                present = read_manifest(folder / MANIFEST)
                if replace(present, path=component.path) != component:
                    raise LibraryError(
                        f"{component.ref} is there already with other content",
                        at=Location(str(self.root)),
                        hint="give it a new --version, or remove the old one first",
                    )
                return present
            with self._staging() as staged:
                shutil.copyfile(component.path, staged / MODEL)
                for data in external_files(component.path):
                    (staged / data).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(component.path.parent / data, staged / data)
                (staged / MANIFEST).write_text(write_manifest(component), "utf-8")
                folder.parent.mkdir(parents=True, exist_ok=True)
                staged.rename(folder)
        return replace(component, path=folder / MODEL)

    def remove(self, ref: str) -> Component:
        """Take a component out and return it."""
        component = self.get(ref)
        with self._writing(), self._staging() as staged:
            component.path.parent.rename(staged / "removed")
            if not any(component.path.parent.parent.iterdir()):
                component.path.parent.parent.rmdir()
        return component

    def verify_digest(self, component: Component) -> None:
        """Raise ``ManifestError`` where a model is not the file its manifest was made of."""
        if not component.path.is_file():
            raise ManifestError(
                "model.onnx is missing beside component.toml",
                at=Location(component.ref),
                hint="restore the file, or remove the component",
            )
        digest = model_digest(component.path)
        if digest != component.digest:
            raise ManifestError(
                f"model.onnx has SHA-256 {digest[:12]}…, the manifest says "
                f"{component.digest[:12]}…",
                at=Location(component.ref),
                hint="restore the file, or add it again under a new version",
            )

    def verify(self, component: Component) -> None:
        """Check a component's model against its manifest, and that it loads and runs.

        Raises:
            ManifestError: The digest or a port differs from what the manifest says.
            ModelError: The model does not load.
        """
        self.verify_digest(component)
        at = Location(component.ref)
        model = load_model(component.path)
        for name, declared, values in (
            ("input", component.inputs, model.graph.inputs),
            ("output", component.outputs, model.graph.outputs),
        ):
            actual = read_ports(tuple(values))
            for port, real in zip(declared, actual, strict=False):
                if (port.name, port.dtype, port.shape) != (real.name, real.dtype, real.shape):
                    raise ManifestError(
                        f"{name} {port.name!r} is {real} in the model, {port} in the manifest",
                        at=at,
                    )
            if len(declared) != len(actual):
                raise ManifestError(
                    f"the model has {len(actual)} {name}s, the manifest {len(declared)}", at=at
                )
        open_session(component.path, optimize=False)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the library against other writers."""
        with self._writable():
            self.root.mkdir(parents=True, exist_ok=True)
            stream = (self.root / LOCK).open("a+")
        with stream:
            deadline = time.monotonic() + self.lock_timeout_s
            while True:
                try:
                    fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        stream.seek(0)
                        raise LibraryError(
                            f"held by another process ({stream.read() or 'unknown'})",
                            at=Location(str(self.root)),
                            hint="wait for it to end, then run the command again",
                        ) from None
                    time.sleep(POLL_S)
            with self._writable():
                stream.truncate(0)
                stream.write(f"pid {os.getpid()}")
                stream.flush()
            yield

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """Yield a folder on the same disk that is gone afterwards, whatever happens."""
        with self._writable():
            staged = Path(tempfile.mkdtemp(prefix=".staged-", dir=self.root))
            try:
                inner = staged / "component"
                inner.mkdir()
                yield inner
            finally:
                shutil.rmtree(staged, ignore_errors=True)

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Turn an operating system's error into one that names the library."""
        try:
            yield
        except OSError as error:
            raise LibraryError(
                f"cannot be written: {error.strerror or error}", at=Location(str(self.root))
            ) from error


def describe(
    path: Path, *, name: str, version: str = "1.0.0", provides: str = "", **declared: object
) -> Component:
    """Return the component that a model file is, everything readable read from it.

    Args:
        path: The model.
        name: Name in the library.
        version: A PEP 440 version.
        provides: Capability; the name where empty.
        declared: Further fields of ``Component``: metrics, depends, licence, provenance.
    """
    model = load_model(path)
    open_session(path, optimize=False)
    inputs = read_ports(tuple(model.graph.inputs))
    outputs = read_ports(tuple(model.graph.outputs))
    return Component(
        name=name,
        version=version,
        provides=provides or name,
        inputs=inputs,
        outputs=outputs,
        opset=opset_of(model),
        resources=read_resources(model),
        digest=model_digest(path),
        path=path,
        **declared,  # type: ignore[arg-type]
    )

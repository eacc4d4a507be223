"""Copy components between a local library and any URL fsspec can open."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import fsspec
from fsspec.core import url_to_fs

from suture.compiler.component import Component
from suture.compiler.library import Library
from suture.compiler.manifest import MANIFEST, MODEL, external_files, read_manifest
from suture.errors import LibraryError, Location


def is_url(text: str) -> bool:
    """Whether a library is named by URL rather than by folder."""
    return "://" in text


def push(library: Library, url: str) -> tuple[Component, ...]:
    """Copy every component that the URL lacks; its manifest goes last and makes it visible.

    Raises:
        LibraryError: The URL cannot be written, or holds a version with other content.
    """
    filesystem, root = _open(url)
    sent = []
    for component in library:
        folder = f"{root}/{component.name}/{component.version}"
        with _naming(url):
            if filesystem.exists(f"{folder}/{MANIFEST}"):
                present = _fetch_manifest(filesystem, folder)
                if replace(present, path=component.path) != component:
                    raise LibraryError(
                        f"{component.ref} is there already with other content",
                        at=Location(url),
                        hint="give it a new version",
                    )
                continue
            files = (Path(MODEL), *external_files(component.path), Path(MANIFEST))
            for file in files:
                parent = (Path(folder) / file).parent
                filesystem.makedirs(parent.as_posix(), exist_ok=True)
                filesystem.put_file(
                    str(component.path.parent / file), f"{folder}/{file.as_posix()}"
                )
        sent.append(component)
    return tuple(sent)


def pull(url: str, library: Library) -> tuple[Component, ...]:
    """Copy every component of the URL that the library lacks, and verify each.

    Raises:
        LibraryError: The URL cannot be read, or the library holds other content.
        ManifestError: What arrived does not match its manifest.
    """
    filesystem, root = _open(url)
    present = {component.ref for component in library}
    fetched = []
    with _naming(url):
        manifests = sorted(filesystem.glob(f"{root}/*/*/{MANIFEST}"))
        if not manifests:
            raise LibraryError(
                "no such library, or it holds no component",
                at=Location(url),
                hint="fill it with: suture library push URL",
            )
    for path in manifests:
        folder = str(path).removesuffix(f"/{MANIFEST}")
        if "@".join(folder.split("/")[-2:]) in present:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            with _naming(url):
                filesystem.get(f"{folder}/", f"{scratch}/", recursive=True)
            component = read_manifest(Path(scratch) / MANIFEST)
            library.verify(component)
            fetched.append(library.add(component))
    return tuple(fetched)


def _open(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        filesystem, root = url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise LibraryError(f"cannot be opened: {error}", at=Location(url)) from error
    return filesystem, str(root).rstrip("/")


def _fetch_manifest(filesystem: fsspec.AbstractFileSystem, folder: str) -> Component:
    with tempfile.TemporaryDirectory() as scratch:
        local = Path(scratch) / MANIFEST
        filesystem.get_file(f"{folder}/{MANIFEST}", str(local))
        return read_manifest(local)


@contextmanager
def _naming(url: str) -> Iterator[None]:
    """Turn an operating system's error into one that names the URL."""
    try:
        yield
    except OSError as error:
        raise LibraryError(
            f"cannot be reached: {error.strerror or error}", at=Location(url)
        ) from error

"""Zip archives: equal contents give equal bytes, and nothing in one escapes its folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Literal

from suture.errors import Location, PackageError

EPOCH = (1980, 1, 1, 0, 0, 0)
BLOCK = 1 << 20
MAX_UNZIPPED_BYTES = 10 * 2**30
PROGRAMS = ("bootstrap",)
Content = bytes | Path
Form = Literal["zip", "oci"]
"""A zip, or a container image."""


def content_size(content: Content) -> int:
    """Return the bytes of what goes into an archive."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def executable(name: str) -> bool:
    """Return whether a package's file is a program or a shared library."""
    return name in PROGRAMS or ".so" in PurePosixPath(name).suffixes


def content_digest(content: Content) -> str:
    """Return the SHA-256 of what goes into an archive, in hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    return file_digest(content)


def write_archive(path: Path, files: Mapping[str, Content]) -> str:
    """Write a zip, whole or not at all, and return its SHA-256.

    Names are sorted, dates are the epoch of the format, shared libraries and programs are
    executable and nothing else is: equal contents give equal bytes.

    Raises:
        PackageError: The disk is full or the folder cannot be written.
    """
    try:
        with written_beside(path) as partial:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
                for name in sorted(files):
                    _write_entry(out, name, files[name])
            digest = file_digest(partial)
    except OSError as error:
        raise PackageError(
            f"cannot be written: {error.strerror or error}", at=Location(str(path))
        ) from error
    return digest


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Yield a file beside a path that takes its place at the end, or is gone on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _write_entry(out: zipfile.ZipFile, name: str, content: Content) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = (0o100755 if executable(name) else 0o100644) << 16
    if isinstance(content, bytes):
        out.writestr(entry, content, compresslevel=9)
        return
    entry.file_size = content.stat().st_size
    with content.open("rb") as source, out.open(entry, "w") as sink:
        shutil.copyfileobj(source, sink, BLOCK)


def extract(path: Path, folder: Path, *, most: int = MAX_UNZIPPED_BYTES) -> None:
    """Unpack a zip into a folder.

    Raises:
        PackageError: It is missing or broken, a name in it leaves the folder, an entry is not
            a plain file, or it holds more bytes than it says or than allowed.
    """
    at = Location(str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            for entry in entries:
                check_entry(entry, path)
            total = sum(entry.file_size for entry in entries)
            if total > most:
                raise PackageError(f"unpacks to {total} bytes, {most} are allowed", at=at)
            for entry in entries:
                target = folder / entry.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, BLOCK)
                target.chmod(entry.external_attr >> 16 & 0o777 or 0o644)
    except FileNotFoundError:
        raise PackageError("no such file", at=at) from None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise PackageError(
            f"not a readable package: {error}", at=at, hint="build it again: suture compile"
        ) from error


def check_entry(entry: zipfile.ZipInfo, path: Path) -> None:
    """Raise ``PackageError`` where a name leads elsewhere, or the entry is not a file."""
    name = PurePosixPath(entry.filename)
    at = Location(str(path), None, entry.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
        raise PackageError("a name in the archive leaves its folder", at=at)
    kind = entry.external_attr >> 28
    if entry.is_dir() or kind not in (0, 0o10):
        raise PackageError("an entry of the archive is not a plain file", at=at)

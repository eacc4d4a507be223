"""What is in a package on disk: names, sizes and digests, and its documents."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from suture.codegen.archive import (
    BLOCK,
    MAX_UNZIPPED_BYTES,
    Form,
    check_entry,
    file_digest,
)
from suture.codegen.provenance import PROVENANCE
from suture.codegen.sbom import SBOM
from suture.errors import Location, PackageError

MODEL = "model.json"
DOCUMENTS = (MODEL, PROVENANCE, SBOM)
MAX_DOCUMENT_BYTES = 64 * 2**20
SIGNATURE = ".intoto.jsonl"
"""How the name of a signature ends."""

BROKEN = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, gzip.BadGzipFile),
    *(OSError, EOFError, NotImplementedError, RuntimeError, ValueError, KeyError, TypeError),
)
"""What readers of archives raise at one that is damaged, encrypted or not what it seems."""


@dataclass(frozen=True)
class Entry:
    """One file of a package: its bytes and their SHA-256."""

    nbytes: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A package on disk.

    Attributes:
        path: The archive.
        form: A zip, or an OCI image.
        nbytes: Its size.
        digest: Its SHA-256.
        entries: What is in it, by name.
        documents: Its JSON documents by name, those that are there.
    """

    path: Path
    form: Form
    nbytes: int
    digest: str
    entries: Mapping[str, Entry]
    documents: Mapping[str, Mapping[str, Any]]

    @property
    def unzipped_bytes(self) -> int:
        """Bytes of all files."""
        return sum(entry.nbytes for entry in self.entries.values())

    def document(self, name: str) -> Mapping[str, Any]:
        """Return one of the documents.

        Raises:
            PackageError: It is not there.
        """
        if name not in self.documents:
            raise PackageError(
                f"there is no {name} in it",
                at=Location(str(self.path)),
                hint="build it with this version: suture compile",
            )
        return self.documents[name]


def signature_path(package: Path) -> Path:
    """Return where the signature of a package lies."""
    return package.with_name(package.name + SIGNATURE)


def read_contents(path: Path) -> Contents:
    """Return what is in a package, a zip or an OCI image; nothing is unpacked to disk.

    Raises:
        PackageError: It is missing or broken, or holds a name twice, one that leaves its
            folder, or more bytes than allowed.
    """
    at = Location(str(path))
    try:
        is_zip = zipfile.is_zipfile(path)
        with _files_of_zip(path) if is_zip else _files_of_image(path) as files:
            entries, documents = _read(files, at)
        nbytes, digest = path.stat().st_size, file_digest(path)
    except FileNotFoundError:
        raise PackageError("no such file", at=at) from None
    except BROKEN as error:
        raise PackageError(
            f"not a readable package: {error}", at=at, hint="build it again: suture compile"
        ) from error
    return Contents(
        path=path,
        form="zip" if is_zip else "oci",
        nbytes=nbytes,
        digest=digest,
        entries=entries,
        documents=documents,
    )


def _read(
    files: Iterable[tuple[str, IO[bytes]]], at: Location
) -> tuple[dict[str, Entry], dict[str, Mapping[str, Any]]]:
    entries: dict[str, Entry] = {}
    documents: dict[str, Mapping[str, Any]] = {}
    left = MAX_UNZIPPED_BYTES
    for name, stream in files:
        if name in entries:
            raise PackageError(f"{name} is in it twice", at=at)
        kept: list[bytes] | None = [] if name in DOCUMENTS else None
        with stream:
            most = left if kept is None else min(left, MAX_DOCUMENT_BYTES)
            entries[name] = _entry(name, stream, kept, most, at)
        left -= entries[name].nbytes
        if kept is not None:
            documents[name] = _object(b"".join(kept), name, at)
    return entries, documents


def _entry(
    name: str, stream: IO[bytes], kept: list[bytes] | None, most: int, at: Location
) -> Entry:
    """Read one file to its end, at most so many bytes of it, and keep them where asked to."""
    sha, nbytes = hashlib.sha256(), 0
    while block := stream.read(BLOCK):
        sha.update(block)
        nbytes += len(block)
        if nbytes > most:
            raise PackageError(f"{name} holds more bytes than allowed", at=at)
        if kept is not None:
            kept.append(block)
    return Entry(nbytes, sha.hexdigest())


def _object(data: bytes, name: str, at: Location) -> Mapping[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PackageError(f"its {name} is not JSON: {error}", at=at) from error
    if not isinstance(document, dict):
        raise PackageError(f"its {name} is not an object", at=at)
    return document


@contextmanager
def _files_of_zip(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            check_entry(entry, path)
        yield ((entry.filename, archive.open(entry)) for entry in entries)


@contextmanager
def _files_of_image(path: Path) -> Iterator[Iterator[tuple[str, IO[bytes]]]]:
    """Yield the files of an image's only layer, as they come."""
    with tarfile.open(path, "r:") as image:
        index = json.load(_member(image, "index.json"))
        manifest = json.load(_blob(image, index["manifests"][0]))
        (layer,) = manifest["layers"]
        with (
            gzip.GzipFile(fileobj=_blob(image, layer)) as unpacked,
            tarfile.open(fileobj=unpacked, mode="r|") as files,
        ):
            yield ((each.name, _content(files, each)) for each in files)


def _content(files: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    stream = files.extractfile(entry) if entry.isreg() else None
    if stream is None:
        raise ValueError(f"{entry.name} is not a plain file")
    return stream


def _blob(image: tarfile.TarFile, descriptor: Mapping[str, Any]) -> IO[bytes]:
    return _member(image, "blobs/" + descriptor["digest"].replace(":", "/"))


def _member(image: tarfile.TarFile, name: str) -> IO[bytes]:
    return _content(image, image.getmember(name))

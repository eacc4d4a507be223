"""A container image from nothing: an OCI archive with a program that needs no other file.

Sources: github.com/opencontainers/image-spec (layout, manifest, configuration, annotations);
``manifest.json`` is what docker load reads of archives that docker save writes.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from suture.codegen.archive import (
    BLOCK,
    Content,
    content_digest,
    content_size,
    executable,
    file_digest,
    written_beside,
)
from suture.codegen.link import PROGRAM
from suture.codegen.package import Package, Written
from suture.errors import Location, PackageError

PORT = 8080
USER = "65532:65532"
"""Nobody in particular, as images without a shell have it by custom."""
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Kernel's name of an architecture → Go's, which images use."""
TYPE = "application/vnd.oci.image"


@dataclass(frozen=True)
class _Blob:
    """Content that an image names by its digest."""

    content: Content
    media_type: str

    @cached_property
    def digest(self) -> str:
        return content_digest(self.content)

    @property
    def path(self) -> str:
        return f"blobs/sha256/{self.digest}"

    @property
    def descriptor(self) -> dict[str, Any]:
        return {
            "mediaType": self.media_type,
            "digest": f"sha256:{self.digest}",
            "size": content_size(self.content),
        }


def write_image(package: Package, version: str, folder: Path) -> Written:
    """Write ``NAME-TARGET.oci.tar``, whole or not at all; equal packages give equal bytes.

    The image holds the package's files and nothing else. It starts the program, which serves
    HTTP on ``$PORT``, or Lambda where that has started it.

    Args:
        package: One that was assembled for an image.
        version: The image's tag.
        folder: Where the archive goes.

    Raises:
        PackageError: It cannot be written.
    """
    path = folder / f"{package.name}-{package.target.name}.oci.tar"
    try:
        with tempfile.TemporaryDirectory(prefix="suture-image-") as scratch:
            layer, unpacked_digest = _layer(package.files, Path(scratch))
            files = _image(package, version, layer, unpacked_digest)
            with written_beside(path) as partial:
                _write_tar(partial, files)
                digest = file_digest(partial)
    except OSError as error:
        raise PackageError(
            f"cannot be written: {error.strerror or error}", at=Location(str(path))
        ) from error
    return Written.of(package, path, digest)


def _layer(files: Mapping[str, Content], folder: Path) -> tuple[_Blob, str]:
    """Return the only layer, written to a folder, and the digest of what it unpacks to."""
    plain, packed = folder / "layer.tar", folder / "layer.tar.gz"
    _write_tar(plain, files)
    with (
        plain.open("rb") as source,
        packed.open("wb") as sink,
        gzip.GzipFile(filename="", fileobj=sink, mode="wb", mtime=0) as out,
    ):
        shutil.copyfileobj(source, out, BLOCK)
    return _Blob(packed, f"{TYPE}.layer.v1.tar+gzip"), file_digest(plain)


def _image(
    package: Package, version: str, layer: _Blob, unpacked_digest: str
) -> dict[str, Content]:
    """Return the files of the archive by name."""
    labels = _labels(package, version)
    platform = {"architecture": ARCHITECTURES[package.target.arch], "os": "linux"}
    config = _Blob(
        _json(
            {
                **platform,
                "config": {
                    "Entrypoint": [f"/{PROGRAM}"],
                    "Env": [f"PORT={PORT}"],
                    "ExposedPorts": {f"{PORT}/tcp": {}},
                    "Labels": labels,
                    "User": USER,
                    "WorkingDir": "/",
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{unpacked_digest}"]},
            }
        ),
        f"{TYPE}.config.v1+json",
    )
    manifest = _Blob(
        _json(
            {
                "schemaVersion": 2,
                "mediaType": f"{TYPE}.manifest.v1+json",
                "config": config.descriptor,
                "layers": [layer.descriptor],
                "annotations": labels,
            }
        ),
        f"{TYPE}.manifest.v1+json",
    )
    name = f"{package.name}:{version}"
    named = {
        "org.opencontainers.image.ref.name": version,
        "io.containerd.image.name": f"docker.io/library/{name}",
    }
    index = {
        "schemaVersion": 2,
        "mediaType": f"{TYPE}.index.v1+json",
        "manifests": [{**manifest.descriptor, "platform": platform, "annotations": named}],
    }
    for_docker = [{"Config": config.path, "RepoTags": [name], "Layers": [layer.path]}]
    return {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        "manifest.json": _json(for_docker),
        **{blob.path: blob.content for blob in (config, layer, manifest)},
    }


def _labels(package: Package, version: str) -> dict[str, str]:
    key = "org.opencontainers.image"
    return {
        f"{key}.title": package.name,
        f"{key}.version": version,
        f"{key}.description": f"{package.name} for {package.target.name}, made by suture with "
        f"the backend {package.backend}",
    }


def _write_tar(path: Path, files: Mapping[str, Content]) -> None:
    """Write files by name, of no owner and no time."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = files[name]
            entry = tarfile.TarInfo(name)
            entry.size = content_size(content)
            entry.mode = 0o755 if executable(name) else 0o644
            source = io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")
            with source:
                archive.addfile(entry, source)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

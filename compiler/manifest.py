"""component.toml ↔ Component."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import onnx
import tomli_w
from google.protobuf.message import DecodeError
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from suture.compiler.component import Component, Dependency, Metric, Port, Resources
from suture.compiler.model import check_external_data
from suture.errors import Location, ManifestError, ModelError

MANIFEST = "component.toml"
MODEL = "model.onnx"
NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"


Number = Annotated[float, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PortFacts(_Strict):
    """What is known of data wherever it enters or leaves."""

    kind: str = Field(pattern=r"^[a-z0-9_-]+(/[a-z0-9_.-]+)?$")
    dtype: str
    shape: tuple[Count | str, ...]
    layout: str | None = None
    range: tuple[Number, Number] | None = None

    @field_validator("dtype")
    @classmethod
    def _is_dtype(cls, text: str) -> str:
        try:
            np.dtype(text)
        except TypeError as error:
            raise ValueError(f"{text!r} is not an element type such as float32") from error
        return text

    @field_validator("range")
    @classmethod
    def _rises(cls, span: tuple[float, float] | None) -> tuple[float, float] | None:
        if span is not None and not span[0] < span[1]:
            raise ValueError(f"{span[0]:g}..{span[1]:g} is not a range from low to high")
        return span

    @model_validator(mode="after")
    def _names_every_axis(self) -> Self:
        if self.layout is not None and len(self.layout) != len(self.shape):
            raise ValueError(
                f"layout {self.layout!r} names {len(self.layout)} axes, "
                f"the shape has {len(self.shape)}"
            )
        return self


class PortEntry(PortFacts):
    """One input or output port."""

    name: str


class MetricEntry(_Strict):
    """One figure of merit and where it was measured."""

    dataset: str
    name: str
    value: Number


class ResourcesEntry(_Strict):
    """What one run needs."""

    params: Count
    flops: Count
    peak_bytes: Count
    devices: tuple[str, ...] = ("cpu",)


class ComponentEntry(_Strict):
    """What the component is called and where it comes from."""

    name: str = Field(pattern=NAME_PATTERN)
    version: str
    provides: str = Field(pattern=NAME_PATTERN)
    opset: Annotated[int, Field(strict=True, ge=1)]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    depends: tuple[str, ...] = ()
    licence: str = "unknown"
    provenance: str = ""

    @field_validator("version")
    @classmethod
    def _is_version(cls, text: str) -> str:
        try:
            Version(text)
        except InvalidVersion as error:
            raise ValueError(f"{text!r} is not a version such as 1.0.0") from error
        return text

    @field_validator("depends")
    @classmethod
    def _are_dependencies(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            parse_dependency(text)
        return texts


class Manifest(_Strict):
    """The whole of a component.toml."""

    component: ComponentEntry
    input: tuple[PortEntry, ...] = Field(min_length=1)
    output: tuple[PortEntry, ...] = Field(min_length=1)
    resources: ResourcesEntry
    metric: tuple[MetricEntry, ...] = ()


def parse_dependency(text: str) -> Dependency:
    """Read ``name`` or ``name>=1.0,<2``.

    Raises:
        ValueError: The part after the name is not a PEP 440 specifier set.
    """
    cut = next((i for i, c in enumerate(text) if c in "<>=!~"), len(text))
    name, versions = text[:cut].strip(), text[cut:].strip()
    try:
        SpecifierSet(versions)
    except InvalidSpecifier as error:
        raise ValueError(f"{text!r} is not a dependency such as name>=1.0,<2") from error
    return Dependency(name, versions)


def external_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold a model's tensors, relative to its folder, in name order.

    Raises:
        ModelError: The file is not ONNX, or a file of tensors is missing or leaves its folder.
    """
    try:
        proto = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise ModelError(
            f"not a readable ONNX file ({error})",
            at=Location(str(path)),
            hint="restore the file, or add the component again",
        ) from error
    check_external_data(proto, path)
    names = {
        entry.value
        for tensor in proto.graph.initializer
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return tuple(Path(name) for name in sorted(names))


def model_digest(path: Path) -> str:
    """Return the SHA-256 of a model file and, in name order, of its external data."""
    sha = hashlib.sha256()
    for file in (path, *(path.parent / name for name in external_files(path))):
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                sha.update(chunk)
    return sha.hexdigest()


def validation_message(error: ValidationError) -> tuple[str, str]:
    """Return where a document is wrong, as a dotted key, and what is wrong there."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return where, f"unknown key {where!r}"
    return where, f"{where}: {first['msg']}"


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML document.

    Raises:
        ManifestError: The file is missing or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise ManifestError("no such file", at=Location(str(path))) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestError(f"not TOML: {error}", at=Location(str(path))) from error


def read_manifest(path: Path) -> Component:
    """Return the component that a component.toml describes.

    The digest is not compared with the model here: that reads the whole file, and is what
    ``Library.verify`` and the linker do.

    Raises:
        ManifestError: A key is missing, unknown or of the wrong form; names the key.
    """
    try:
        entry = Manifest.model_validate(read_toml(path))
    except ValidationError as error:
        where, message = validation_message(error)
        raise ManifestError(
            message,
            at=Location(str(path), where),
            hint="docs/component.schema.json lists every key",
        ) from error
    head = entry.component
    return Component(
        name=head.name,
        version=head.version,
        provides=head.provides,
        inputs=tuple(Port(**port.model_dump()) for port in entry.input),
        outputs=tuple(Port(**port.model_dump()) for port in entry.output),
        resources=Resources(**entry.resources.model_dump()),
        digest=head.sha256,
        opset=head.opset,
        path=path.parent / MODEL,
        metrics=tuple(Metric(**metric.model_dump()) for metric in entry.metric),
        depends=tuple(parse_dependency(text) for text in head.depends),
        licence=head.licence,
        provenance=head.provenance,
    )


def write_manifest(component: Component) -> str:
    """Return a component as the text of a component.toml.

    Raises:
        ManifestError: A value is one that no manifest may hold; names the key.
    """
    try:
        entry = _entry(component)
    except ValidationError as error:
        where, message = validation_message(error)
        raise ManifestError(message, at=Location(component.ref, where)) from error
    return tomli_w.dumps(entry.model_dump(mode="json", exclude_none=True))


def _entry(component: Component) -> Manifest:
    return Manifest(
        component=ComponentEntry(
            name=component.name,
            version=component.version,
            provides=component.provides,
            opset=component.opset,
            sha256=component.digest,
            depends=tuple(str(dependency) for dependency in component.depends),
            licence=component.licence,
            provenance=component.provenance,
        ),
        input=tuple(PortEntry(**vars(port)) for port in component.inputs),
        output=tuple(PortEntry(**vars(port)) for port in component.outputs),
        resources=ResourcesEntry(**vars(component.resources)),
        metric=tuple(MetricEntry(**vars(metric)) for metric in component.metrics),
    )


def manifest_schema() -> str:
    """Return the JSON Schema of a component.toml, as published in docs."""
    schema = Manifest.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"

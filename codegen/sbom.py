"""The bill of materials of a package: CycloneDX 1.6, the same bytes for the same package."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import PurePosixPath

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from suture import __version__
from suture.codegen.decoder import decoder_pin
from suture.codegen.link import LIBRARY, PROGRAM
from suture.codegen.package import Package
from suture.codegen.recipe import Recipe, Source

SBOM = "sbom.cdx.json"
KERNELS = (LIBRARY, PROGRAM)
"""Files with kernels and weights in them."""
WHEELS = {"onnxruntime": ("libonnxruntime.",), "pillow": ("PIL/", "pillow.libs/")}
"""Distribution → how the names of its files in a package begin."""

LICENCES = {
    "musl": "MIT",
    "onnxruntime": "MIT",
    "pillow": "MIT-CMU",
    "suture": "Apache-2.0",
    "wuffs": "Apache-2.0 OR MIT",
}
"""What wheels say in their metadata, as SPDX has it."""


def sbom(package: Package, recipe: Recipe, digests: Mapping[str, str]) -> bytes:
    """Return what is in a package as CycloneDX JSON: no time, a serial number of the content.

    Args:
        package: The package, without this file.
        recipe: What it was made from.
        digests: SHA-256 of each of its files.
    """
    bom = Bom(serial_number=uuid.UUID(int=0))
    # The library dates a BOM with the present, which no two runs have in common.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.metadata.component = Component(
        type=ComponentType.APPLICATION,
        name=package.name,
        version=recipe.version,
        bom_ref="package",
        description=f"for {package.target.name}",
    )
    bom.metadata.tools.components.add(_suture("suture", ComponentType.APPLICATION))
    model, stitched = _models(package, recipe)
    parts = [
        *model,
        *_program(package, recipe, digests),
        *_wheels(package, digests),
        *_decoder(package),
        *_c_library(package),
    ]
    runtime = _suture("suture-runtime", ComponentType.LIBRARY)
    bom.components.update([runtime, *parts, *stitched])
    bom.register_dependency(bom.metadata.component, [runtime, *parts])
    for each in model:
        bom.register_dependency(each, stitched)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    content = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    document["serialNumber"] = uuid.uuid5(uuid.NAMESPACE_OID, content).urn
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def _models(
    package: Package, recipe: Recipe
) -> tuple[tuple[Component, ...], tuple[Component, ...]]:
    """Return the model that was compiled, and those that it was stitched from."""
    made = {
        kind: tuple(_model(each) for each in recipe.sources if each.kind == kind)
        for kind in ("model", "component")
    }
    return made["model"], made["component"]


def _model(source: Source) -> Component:
    known = source.licence != "unknown"
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=source.name,
        version=source.version or None,
        bom_ref=f"{source.kind}:{source.name}"
        + (f"@{source.version}" if source.version else ""),
        hashes=[_hash(source.digest)],
        licenses=[LicenseFactory().make_from_string(source.licence)] if known else [],
    )


def _program(
    package: Package, recipe: Recipe, digests: Mapping[str, str]
) -> Iterator[Component]:
    """Yield what the backend generated, where it did."""
    for name in KERNELS:
        if package.backend == "tvm" and name in digests:
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=recipe.version,
                bom_ref="kernels",
                description=f"kernels by Apache TVM {version('apache-tvm')}, and weights",
                hashes=[_hash(digests[name])],
            )


def _wheels(package: Package, digests: Mapping[str, str]) -> Iterator[Component]:
    """Yield the distributions of others that ship, with the digests of their libraries."""
    for name, beginnings in WHEELS.items():
        files = [each for each in digests if each.startswith(beginnings)]
        if files:
            installed = version(name)
            yield Component(
                type=ComponentType.LIBRARY,
                name=name,
                version=installed,
                bom_ref=name,
                purl=PackageURL("pypi", name=name, version=installed),
                licenses=[LicenseFactory().make_from_string(LICENCES[name])],
                components=_libraries(files, digests),
            )


def _decoder(package: Package) -> Iterator[Component]:
    """Yield the decoder of images that is linked into a native program, where one is."""
    document = package.files.get("model.json", b"{}")
    assert isinstance(document, bytes)
    if package.runtime == "native" and json.loads(document).get("image"):
        yield Component(
            type=ComponentType.LIBRARY,
            name="wuffs",
            bom_ref="wuffs",
            description=f"decodes JPEG and PNG, from the sources in {decoder_pin()} of PyPI",
            licenses=[LicenseFactory().make_from_string(LICENCES["wuffs"])],
        )


def _c_library(package: Package) -> Iterator[Component]:
    """Yield the C library that is linked into the program of an image."""
    if package.form == "oci":
        yield Component(
            type=ComponentType.LIBRARY,
            name="musl",
            bom_ref="musl",
            description=f"the C library, as ziglang {version('ziglang')} of PyPI has it",
            licenses=[LicenseFactory().make_from_string(LICENCES["musl"])],
        )


def _libraries(files: Iterable[str], digests: Mapping[str, str]) -> Iterator[Component]:
    for name in files:
        if ".so" in PurePosixPath(name).suffixes:
            yield Component(
                type=ComponentType.FILE,
                name=name,
                bom_ref=f"file:{name}",
                hashes=[_hash(digests[name])],
            )


def _suture(name: str, kind: ComponentType) -> Component:
    return Component(
        type=kind,
        name=name,
        version=__version__,
        bom_ref=name,
        licenses=[LicenseFactory().make_from_string(LICENCES["suture"])],
    )


def _hash(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)

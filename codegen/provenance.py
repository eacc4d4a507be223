"""How a package came about: an in-toto statement with SLSA's provenance.

Sources: in-toto.io/Statement/v1, slsa.dev/spec/v1.0/provenance.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from typing import Any

from suture import __version__
from suture.codegen.archive import content_digest
from suture.codegen.package import Package
from suture.codegen.recipe import Recipe
from suture.codegen.sbom import SBOM, sbom

PROVENANCE = "provenance.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "pkg:generic/suture#compile/v1"
BUILDER = "pkg:generic/suture"

TOOLS = (
    "cyclonedx-python-lib",
    "numpy",
    "onnx",
    "onnx-ir",
    "onnxruntime",
    "onnxscript",
    "onnxsim",
)
"""Distributions that have a say in the bytes of every package."""
BACKEND_TOOLS = {"tvm": ("apache-tvm", "apache-tvm-ffi", "ziglang"), "ort": ()}
"""Those that have one in a backend's."""
RUNTIME_TOOLS = {"native": ("ziglang",), "python": ()}
"""Those that have one in a runtime's."""


def attested(package: Package, recipe: Recipe) -> Package:
    """Return a package with its bill of materials and its provenance among its files."""
    digests = {name: content_digest(content) for name, content in package.files.items()}
    materials = sbom(package, recipe, digests)
    digests[SBOM] = content_digest(materials)
    written = {SBOM: materials, PROVENANCE: provenance(package, recipe, digests)}
    return replace(package, files={**package.files, **written})


def provenance(package: Package, recipe: Recipe, digests: Mapping[str, str]) -> bytes:
    """Return the statement about files: what they were made from, with what, and how.

    It holds no time, no path and nothing measured; where a measurement decided, it holds what
    was decided.

    Args:
        package: The package.
        recipe: How it came about.
        digests: SHA-256 of each of its files but this one.
    """
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(digests.items())
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    **recipe.options,
                    "package": package.form,
                    "target": package.target.name,
                    "memory_mb": package.target.memory_mb,
                },
                "internalParameters": {
                    "backend": package.backend,
                    "runtime": package.runtime,
                    "passes": [asdict(rewrite) for rewrite in recipe.rewrites],
                    "schedules": dict(recipe.schedules),
                },
                "resolvedDependencies": [
                    _dependency(each) for each in map(asdict, recipe.sources)
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": tools(package, recipe)},
            },
        },
    }
    return (json.dumps(statement, indent=1, sort_keys=True) + "\n").encode()


def tools(package: Package, recipe: Recipe) -> dict[str, str]:
    """Return the versions of everything that has a say in the bytes of a package's files."""
    names = (*TOOLS, *BACKEND_TOOLS[package.backend], *RUNTIME_TOOLS[package.runtime])
    found = {"suture": __version__, **{name: version(name) for name in names}}
    if any(name.endswith(".pyc") for name in package.files):
        found |= {"python": "{}.{}".format(*sys.version_info), "pillow": version("pillow")}
    return {**found, **recipe.plugins}


def _dependency(source: Mapping[str, Any]) -> dict[str, Any]:
    """Return one source as a resource descriptor of in-toto."""
    notes = {key: source[key] for key in ("kind", "version") if source[key]}
    return {
        "name": source["name"],
        "digest": {"sha256": source["digest"]},
        "annotations": notes,
    }

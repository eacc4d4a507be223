"""What is in a package and why, from its own documents and from the report beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suture.codegen.contents import MODEL, Contents, read_contents, signature_path
from suture.codegen.provenance import PROVENANCE
from suture.codegen.sbom import SBOM
from suture.errors import Location, PackageError

REPORT = "report.json"


def explain(path: Path) -> dict[str, Any]:
    """Return what is in a package and why, as JSON has it.

    Keys without an answer are None: those of a package that was made before packages told, and
    what was measured where no report of the same build lies beside it.

    Raises:
        PackageError: The package is broken, or its documents are not suture's.
    """
    contents = read_contents(path)
    model = contents.document(MODEL)
    try:
        return {
            "path": str(path),
            "form": contents.form,
            "bytes": contents.nbytes,
            "unzipped_bytes": contents.unzipped_bytes,
            "digest": contents.digest,
            **{key: model[key] for key in ("name", "version", "suture", "backend")},
            "runtime": model.get("runtime"),
            **{key: model[key] for key in ("arch", "threads", "inputs", "outputs", "plan")},
            "files": _files(contents),
            **_making(contents.documents.get(PROVENANCE)),
            "components": _components(contents.documents.get(SBOM)),
            "signature": _signature(path),
            "measured": _measured(path, contents.digest),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise PackageError(
            f"its documents are not suture's: {error!r}",
            at=Location(str(path)),
            hint="give a package that suture compile wrote",
        ) from error


def _files(contents: Contents) -> list[dict[str, Any]]:
    """Return the files, the largest first."""
    entries = sorted(contents.entries.items(), key=lambda item: (-item[1].nbytes, item[0]))
    return [
        {"name": name, "bytes": entry.nbytes, "digest": entry.digest}
        for name, entry in entries
    ]


def _making(statement: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return how a package came about, as its provenance says."""
    keys = ("target", "options", "passes", "schedules", "sources", "tools")
    if statement is None:
        return dict.fromkeys(keys)
    definition = statement["predicate"]["buildDefinition"]
    options = dict(definition["externalParameters"])
    return {
        "target": options.pop("target"),
        "options": options,
        "passes": definition["internalParameters"]["passes"],
        "schedules": definition["internalParameters"]["schedules"],
        "sources": [
            {
                "kind": each["annotations"]["kind"],
                "name": each["name"],
                "version": each["annotations"].get("version"),
                "digest": each["digest"]["sha256"],
            }
            for each in definition["resolvedDependencies"]
        ],
        "tools": statement["predicate"]["runDetails"]["builder"]["version"],
    }


def _components(bill: Mapping[str, Any] | None) -> list[dict[str, Any]] | None:
    """Return what a package is composed of, as its bill of materials says."""
    if bill is None:
        return None
    return [
        {
            "name": each["name"],
            "version": each.get("version"),
            "type": each["type"],
            "licences": [_licence(entry) for entry in each.get("licenses", [])],
        }
        for each in bill["components"]
    ]


def _licence(entry: Mapping[str, Any]) -> str:
    licence = entry.get("license", {})
    return str(entry.get("expression") or licence.get("id") or licence.get("name"))


def _signature(package: Path) -> dict[str, Any] | None:
    """Return whose signatures lie beside a package; whether they hold, ``verify`` says."""
    path = signature_path(package)
    document = _json(path)
    if document is None:
        return None
    return {"path": str(path), "keys": [each["keyid"] for each in document["signatures"]]}


def _measured(package: Path, digest: str) -> dict[str, Any] | None:
    """Return what was measured when a package was built, if the report beside it is of it."""
    document = _json(package.parent / REPORT)
    if document is None or not any(
        each.get("digest") == digest for each in document.get("packages", [])
    ):
        return None
    chosen = [each["reason"] for each in document["plans"] if each["chosen"]]
    return {
        **{key: document[key] for key in ("reason", "latency_ms", "max_abs_err")},
        "plan_reason": chosen[0] if chosen else None,
        "notes": {
            each["name"]: {"made": each["made"], "declined": each["declined"]}
            for each in document["passes"]
        },
    }


def _json(path: Path) -> Mapping[str, Any] | None:
    """Return a JSON object in a file, or None where there is none."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None

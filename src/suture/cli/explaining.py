"""``suture explain``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from suture.cli.output import Output, speaking
from suture.driver.explaining import explain as explain_package

SHOWN_FILES = 8
SHOWN_DIGITS = 12


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@speaking
def explain(out: Output, package: Path) -> None:
    """Say what is in PACKAGE and why: plan, passes, schedules, sizes, SBOM, signature.

    What was measured is told where the report of the same build lies beside it.

    Example: suture explain out/digits-lambda-x86_64.zip
    """
    found = explain_package(package)

    def show() -> None:
        for label, line in (*_head(found), *_making(found), *_parts(found)):
            out.line(f"{label:<11}{line}")

    out.emit(found, show)


def _head(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the package is, and what chose it."""
    measured = found["measured"] or {}
    yield "package", f"{found['path']}, {found['form']}"
    yield "", f"{found['bytes']:,} bytes ({found['unzipped_bytes']:,} unpacked)"
    yield "", f"sha256 {found['digest']}"
    where = found["target"] or found["arch"]
    yield "model", f"{found['name']} {found['version']} for {where}, suture {found['suture']}"
    for kind in ("inputs", "outputs"):
        for port in found[kind]:
            yield "", f"{kind[:-1]} {port['name']} {port['datatype']}{port['shape']}"
    if found["plan"]:
        why = f": {measured['plan_reason']}" if measured.get("plan_reason") else ""
        yield "plan", found["plan"]["name"] + why
    yield "backend", found["backend"] + (f": {measured['reason']}" if measured else "")
    if measured and measured["latency_ms"] is not None:
        yield "", f"{measured['latency_ms']:.3f} ms where it was built"
    if found["runtime"]:
        yield "runtime", found["runtime"]


def _making(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield how it came about."""
    if found["sources"] is None:
        yield "made from", "unknown: it has no provenance"
        return
    notes = (found["measured"] or {}).get("notes", {})
    label = "made from"
    for each in found["sources"]:
        version = f"@{each['version']}" if each["version"] else ""
        digest = each["digest"][:SHOWN_DIGITS]
        yield label, f"{each['kind']} {each['name']}{version}, sha256 {digest}…"
        label = ""
    options = " ".join(f"{key}={value}" for key, value in sorted(found["options"].items()))
    yield "options", options
    label = "passes"
    for each in found["passes"]:
        made = notes.get(each["name"], {}).get("made", [])
        why = (
            f": {made[0]}" + (f" and {len(made) - 1} more" if len(made) > 1 else "")
            if made
            else ""
        )
        yield label, f"{each['name']} {each['nodes_before']} → {each['nodes_after']}{why}"
        label = ""
    label = "schedules"
    for text, count in Counter(found["schedules"].values()).most_common():
        yield label, text + (f" ×{count}" if count > 1 else "")
        label = ""
    yield "tools", ", ".join(f"{name} {each}" for name, each in sorted(found["tools"].items()))


def _parts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what it consists of, and who signed it."""
    label = "components"
    for each in found["components"] or []:
        told = [each["name"], each["version"], ", ".join(each["licences"])]
        yield label, f"{' '.join(filter(None, told))} ({each['type']})"
        label = ""
    files, label = found["files"], "files"
    for each in files[:SHOWN_FILES]:
        yield label, f"{each['bytes']:>12,}  {each['name']}"
        label = ""
    if rest := files[SHOWN_FILES:]:
        yield "", f"{sum(each['bytes'] for each in rest):>12,}  in {len(rest)} more"
    signature = found["signature"]
    if signature is None:
        yield "signature", "none"
        return
    for key in signature["keys"]:
        yield "signature", f"by key {key}, unchecked: suture verify"

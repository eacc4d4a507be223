"""``suture passes``, ``targets`` and ``policies``: what is installed, and from where."""

from __future__ import annotations

import dataclasses
from importlib.metadata import EntryPoint
from typing import Any

import click

from suture.cli.output import Output, speaking
from suture.compiler.discovery import discover, load, origin
from suture.compiler.target import GROUP as TARGETS
from suture.compiler.target import find_target
from suture.driver.learning import GROUP as POLICIES
from suture.passes.pipeline import GROUP as PASSES
from suture.passes.pipeline import PIPELINES


@click.command()
@speaking
def passes(out: Output) -> None:
    """List the passes, with their options and defaults, and the pipelines by name.

    Example: suture passes
    """
    found = [_entry(point) for _, point in sorted(discover(PASSES).items())]
    document = {"passes": found, "pipelines": dict(PIPELINES)}

    def show() -> None:
        _table(out, found)
        for name, text in PIPELINES.items():
            out.line(f"--passes {name} is {text or '(no pass)'}")

    out.emit(document, show)


@click.command()
@speaking
def targets(out: Output) -> None:
    """List the targets.

    Example: suture targets
    """
    points = sorted(discover(TARGETS).items())
    found = [
        {
            "name": name,
            "origin": origin(point),
            "options": {
                key: value
                for key, value in dataclasses.asdict(find_target(name)).items()
                if key != "name"
            },
        }
        for name, point in points
    ]
    out.emit({"targets": found}, lambda: _table(out, found))


@click.command()
@speaking
def policies(out: Output) -> None:
    """List the policies, with their options and defaults.

    Example: suture policies
    """
    found = [_entry(point) for _, point in sorted(discover(POLICIES).items())]
    out.emit({"policies": found}, lambda: _table(out, found))


def _entry(point: EntryPoint) -> dict[str, Any]:
    cls = load(point)
    summary = (cls.__doc__ or "").strip().splitlines()
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    return {
        "name": point.name,
        "origin": origin(point),
        "summary": summary[0] if summary else "",
        "options": {
            field.name.replace("_", "-"): field.default
            for field in fields
            if field.init and isinstance(field.default, (bool, int, float, str))
        },
    }


def _table(out: Output, found: list[dict[str, Any]]) -> None:
    rows = [
        (
            entry["name"],
            entry["origin"],
            " ".join(f"{key}={value}" for key, value in entry["options"].items()),
            entry.get("summary", ""),
        )
        for entry in found
    ]
    out.table(("name", "origin", "options", ""), rows)

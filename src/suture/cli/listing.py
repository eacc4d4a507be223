"""``suture passes``, ``targets``, ``policies``, ``plugins``: what is installed, from where."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from typing import Any

import click

from suture.cli.output import Output, speaking
from suture.compiler.cost.plugin import GROUP as COST_MODELS
from suture.compiler.discovery import discover, load, origin
from suture.compiler.profile.analyze import GROUP as ANALYZERS
from suture.compiler.target import GROUP as TARGETS
from suture.compiler.target import find_target
from suture.driver.learning import GROUP as POLICIES
from suture.passes.base import GraphPass
from suture.passes.pipeline import GROUP as PASSES
from suture.passes.pipeline import PIPELINES

SCHEDULES = "suture.schedules"
GROUPS: Mapping[str, str] = {
    "passes": PASSES,
    "analyzers": ANALYZERS,
    "schedules": SCHEDULES,
    "cost_models": COST_MODELS,
    "policies": POLICIES,
    "targets": TARGETS,
}
"""Kinds of plug-ins → their entry points."""


@click.command()
@speaking
def passes(out: Output) -> None:
    """List the passes, with their options and defaults, and the pipelines by name.

    Example: suture passes
    """
    found = _entries("passes")
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
    found = _entries("targets")
    out.emit({"targets": found}, lambda: _table(out, found))


@click.command()
@speaking
def policies(out: Output) -> None:
    """List the policies, with their options and defaults.

    Example: suture policies
    """
    found = _entries("policies")
    out.emit({"policies": found}, lambda: _table(out, found))


@click.command()
@speaking
def plugins(out: Output) -> None:
    """List everything that can be plugged in: passes, schedules, cost models and the rest.

    Example: suture plugins
    """
    found = {kind: _entries(kind) for kind in GROUPS}

    def show() -> None:
        for kind, entries in found.items():
            out.line(f"{GROUPS[kind]}:")
            _table(out, entries)
            out.line("")

    out.emit(found, show)


def _entries(kind: str) -> list[dict[str, Any]]:
    """Return what is installed of a kind, by name."""
    points = sorted(discover(GROUPS[kind]).items())
    describe = {"targets": _target, "schedules": _schedule}.get(kind, _class)
    return [
        {"name": name, "origin": origin(point), **describe(point)} for name, point in points
    ]


def _target(point: EntryPoint) -> dict[str, Any]:
    options = dataclasses.asdict(find_target(point.name))
    del options["name"]
    return {"options": options}


def _schedule(point: EntryPoint) -> dict[str, Any]:
    """Describe a rule by its operators; its options are the fields of its schedules."""
    rule = load(point)
    options = {
        kind.name: ",".join(field.name for field in dataclasses.fields(kind))
        for kind in rule.schedules
    }
    return {"options": options, "summary": " ".join(rule.operators)}


def _class(point: EntryPoint) -> dict[str, Any]:
    """Describe a class by its docstring and what its constructor takes."""
    cls = load(point)
    summary = (cls.__doc__ or "").strip().splitlines()
    options = {
        name.replace("_", "-"): parameter.default
        for name, parameter in inspect.signature(cls).parameters.items()
        if isinstance(parameter.default, (bool, int, float, str))
    }
    described = {"summary": summary[0] if summary else "", "options": options}
    if isinstance(cls, type) and issubclass(cls, GraphPass):
        order = {"after": cls.after, "before": cls.before, "needs": cls.needs}
        return {**described, "exact": cls.exact, **{k: list(v) for k, v in order.items()}}
    return described


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

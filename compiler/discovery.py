"""Find plug-ins, ours and other people's, by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from suture.compiler.spec import SpecError, build_spec, did_you_mean, parse_spec
from suture.errors import Location, PluginError


def discover(group: str) -> Mapping[str, EntryPoint]:
    """Return every installed plug-in of a group by name; nothing is imported until loaded.

    Raises:
        PluginError: Two distributions provide one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in found and found[point.name].value != point.value:
            raise PluginError(
                f"two plug-ins of {group} are called {point.name!r}: "
                f"{found[point.name].value} and {point.value}",
                hint="uninstall one of them",
            )
        found[point.name] = point
    return found


def load(point: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        PluginError: The module or the name in it does not import.
    """
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"plug-in {point.name!r} ({point.value}) of {point.group} does not load: {error}",
            hint="reinstall or uninstall the distribution that provides it",
        ) from error


def make(group: str, text: str, *, noun: str, at: Location, hint: str) -> Any:
    """Return the value of a plug-in that a spec describes.

    Args:
        group: Its entry points.
        text: ``name`` or ``name{key=value}``; the options are fields of a dataclass.
        noun: What people call such a plug-in.
        at: Where the text was read.
        hint: How to find out what there is.

    Raises:
        PluginError: None of that name is installed, or an option does not fit.
    """
    points = discover(group)
    try:
        name, options = parse_spec(text)
    except SpecError as error:
        raise PluginError(str(error), at=at, hint=hint) from error
    if name not in points:
        told = f"no {noun} {name!r} is installed" + did_you_mean(name, points)
        raise PluginError(told, at=at, hint=hint)
    try:
        return build_spec(load(points[name]), name, options)
    except SpecError as error:
        raise PluginError(str(error), at=at, hint=hint) from error


def origin(point: EntryPoint) -> str:
    """Return the distribution an entry point comes from, as ``name version``."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"

"""Which runtime a package holds: the native one where it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from suture.codegen.document import image_entry
from suture.codegen.served import too_much
from suture.compiler.component import Port
from suture.errors import Location, PackageError

Runtime = Literal["native", "python"]
Wanted = Literal["auto", "native", "python"]

IMAGES = "requests are images, which the native runtime does not decode"


def choose_runtime(wanted: Wanted, document: Mapping[str, Any]) -> tuple[Runtime, str]:
    """Return a package's runtime, and why it is that one.

    Args:
        wanted: What the user asked for.
        document: The package's model.json.

    Raises:
        PackageError: The native one is asked for, and cannot hold the model.
    """
    if wanted == "python":
        return "python", "as asked for"
    lacks = native_lacks(document)
    if lacks is None:
        return "native", "as asked for" if wanted == "native" else "it holds the model"
    if wanted == "native":
        raise refused(lacks, document["name"])
    return "python", lacks


def native_lacks(document: Mapping[str, Any]) -> str | None:
    """Return why the native runtime does not hold a model, or None where it does."""
    if document["image"] is not None:
        return IMAGES
    return too_much(document)


def check_entry(entry: Port | None, wanted: Wanted) -> None:
    """Raise where it is known before compiling that the native runtime cannot ship as asked.

    Args:
        entry: The task's input.
        wanted: The runtime that was asked for.

    Raises:
        PackageError: It cannot.
    """
    if wanted == "native" and image_entry(entry) is not None:
        raise refused(IMAGES, "--runtime native")


def refused(why: str, at: str) -> PackageError:
    """Return the error of a native package that cannot be made."""
    return PackageError(
        f"no native package can be made: {why}",
        at=Location(at),
        hint="leave --runtime out, or ask for python",
    )

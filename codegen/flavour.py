"""Which runtime a package holds: the native one where it can."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from suture.codegen.backend.base import Compiled
from suture.codegen.document import image_entry
from suture.codegen.served import too_much
from suture.compiler.component import Port
from suture.errors import Location, PackageError

Runtime = Literal["native", "python"]
Wanted = Literal["auto", "native", "python"]

NOT_TVM = "the native runtime runs what TVM compiles, not {}"
IMAGES = "requests are images, which the native runtime does not decode"


def choose_runtime(
    wanted: Wanted, compiled: Compiled, document: Mapping[str, Any]
) -> tuple[Runtime, str]:
    """Return a package's runtime, and why it is that one.

    Args:
        wanted: What the user asked for.
        compiled: What a backend made of the model.
        document: The package's model.json.

    Raises:
        PackageError: The native one is asked for, and cannot hold the model.
    """
    if wanted == "python":
        return "python", "as asked for"
    lacks = native_lacks(compiled, document)
    if lacks is None:
        return "native", "as asked for" if wanted == "native" else "it holds the model"
    if wanted == "native":
        raise refused(lacks, document["name"])
    return "python", lacks


def native_lacks(compiled: Compiled, document: Mapping[str, Any]) -> str | None:
    """Return why the native runtime does not hold a model, or None where it does."""
    if compiled.parts is None:
        return NOT_TVM.format(compiled.backend)
    if document["image"] is not None:
        return IMAGES
    return too_much(document)


def check_wish(wanted: Wanted, backend: str, entry: Port | None = None) -> None:
    """Raise where it is known before compiling that the native runtime cannot ship as asked.

    Args:
        wanted: The runtime that was asked for.
        backend: The backend that was asked for.
        entry: The task's input, if there is one.

    Raises:
        PackageError: It cannot.
    """
    if wanted != "native":
        return
    if backend == "ort":
        raise refused(NOT_TVM.format(backend), "--runtime native")
    if image_entry(entry) is not None:
        raise refused(IMAGES, "--runtime native")


def refused(why: str, at: str) -> PackageError:
    """Return the error of a native package that cannot be made."""
    return PackageError(
        f"no native package can be made: {why}",
        at=Location(at),
        hint="leave --runtime out, or ask for python",
    )

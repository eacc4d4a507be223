"""Which runtime a package holds: the native one where it can."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any, Literal

from suture.codegen.decoder import decoder_source
from suture.codegen.served import too_much
from suture.compiler.target import Target
from suture.errors import Location, PackageError

Runtime = Literal["native", "python"]
Wanted = Literal["auto", "native", "python"]


def choose_runtime(
    wanted: Wanted, document: Mapping[str, Any], target: Target
) -> tuple[Runtime, str]:
    """Return a package's runtime, and why it is that one.

    Args:
        wanted: What the user asked for.
        document: The package's model.json.
        target: Where it runs.

    Raises:
        PackageError: The one that is asked for cannot hold the model.
    """
    image = document["image"] is not None
    check_wish(wanted, target, image=image)
    if wanted == "python":
        return "python", "as asked for"
    lacks = native_lacks(target, image=image) or too_much(document)
    if lacks is None:
        return "native", "as asked for" if wanted == "native" else "it holds the model"
    if wanted == "native":
        raise _refused(lacks)
    return "python", lacks


def check_wish(wanted: Wanted, target: Target, *, image: bool = False) -> None:
    """Raise where it is clear before compiling that no package can be made as asked for.

    Args:
        wanted: The runtime that was asked for.
        target: Where it runs.
        image: Whether requests are images.

    Raises:
        PackageError: None can.
    """
    lacks = native_lacks(target, image=image)
    if wanted == "native" and lacks is not None:
        raise _refused(lacks)
    if image and not target.runs_here and (wanted == "python" or lacks is not None):
        raise PackageError(
            f"requests are images, and the Pillow installed here decodes them on "
            f"{platform.machine()}, not on {target.arch}" + (f"; {lacks}" if lacks else ""),
            at=Location(target.name),
            hint=f"compile on an {target.arch} machine, or let the task's input be float32",
        )


def check_image(wanted: Wanted, backend: str, target: Target, *, image: bool = False) -> None:
    """Raise where it is clear before compiling that no container image can be made.

    Args:
        wanted: The runtime that was asked for.
        backend: The backend that was asked for.
        target: Where it runs.
        image: Whether requests are images.

    Raises:
        PackageError: None can.
    """
    lacks = native_lacks(target, image=image)
    if wanted == "python":
        lacks = "there is no Python in it"
    if backend == "ort":
        lacks = "ONNX Runtime needs a C library beside it"
    if lacks is not None:
        raise PackageError(
            f"no container image can be made: {lacks}",
            at=Location("--package oci"),
            hint="leave it out, or leave out what it does not go with",
        )


def native_lacks(target: Target, *, image: bool) -> str | None:
    """Return why the native runtime does not serve a target's requests, or None."""
    if target.provider == "gcf":
        return "Google Cloud Functions take no program of one's own"
    if image:
        try:
            decoder_source()
        except PackageError as error:
            return f"{error.message}: {error.hint}"
    return None


def _refused(why: str) -> PackageError:
    return PackageError(
        f"no native package can be made: {why}",
        at=Location("--runtime native"),
        hint="leave it out, or ask for python",
    )

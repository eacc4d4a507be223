"""``suture sign`` and ``suture verify``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from suture.cli.output import Output, speaking
from suture.errors import PluginError

FAILED = 1
"""Exit code of a check that does not hold."""


def key(kind: str) -> Callable[..., Any]:
    """Return the option of a key's file."""
    return click.option(
        "--key", required=True, type=click.Path(path_type=Path), help=f"The {kind} key, PEM."
    )


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@key("private")
@speaking
def sign(out: Output, package: Path, key: Path) -> None:
    """Sign PACKAGE with a local key; the signature lies beside it as PACKAGE.intoto.jsonl.

    It is a DSSE envelope over the package's provenance. Make keys with openssl:
    openssl genpkey -algorithm ed25519 -out key.pem;
    openssl pkey -in key.pem -pubout -out key.pub

    Example: suture sign out/digits-lambda-x86_64.zip --key key.pem
    """
    path, keyid = _signatures().sign(package, key)

    def show() -> None:
        out.line(f"signed  {package}")
        out.line(f"        {path}")
        out.line(f"key     {keyid}")

    out.emit({"signature": str(path), "key": keyid}, show)


@click.command()
@click.argument("package", type=click.Path(path_type=Path))
@key("public")
@click.option(
    "--signature", type=click.Path(path_type=Path), help="If it does not lie beside PACKAGE."
)
@speaking
def verify(out: Output, package: Path, key: Path, signature: Path | None) -> None:
    """Check that PACKAGE is what the owner of a key signed; names the files that are not.

    Example: suture verify out/digits-lambda-x86_64.zip --key key.pub
    """
    verdict = _signatures().verify(package, key, signature)
    lines = [
        *(f"{name} was changed" for name in verdict.changed),
        *(f"{name} is missing" for name in verdict.missing),
        *(f"{name} was added" for name in verdict.added),
    ]
    if not verdict.signed:
        lines = ["the signature is not by this key, or not of what it lies beside"]
    elif verdict.repacked and not lines:
        lines = ["the archive was packed anew; its files are as they were signed"]

    def show() -> None:
        out.line(f"{'holds' if verdict.holds else 'FAILS'}  {package}")
        out.line(f"key    {verdict.key}")
        for line in lines:
            out.line(f"       {line}")

    document = {
        "holds": verdict.holds,
        "key": verdict.key,
        "signed": verdict.signed,
        "changed": list(verdict.changed),
        "missing": list(verdict.missing),
        "added": list(verdict.added),
        "repacked": verdict.repacked,
    }
    out.emit(document, show)
    if not verdict.holds:
        click.get_current_context().exit(FAILED)


def _signatures() -> ModuleType:
    try:
        from suture.codegen import sign as signatures
    except ModuleNotFoundError as error:
        raise PluginError(
            f"{error.name} is not installed",
            hint="install the extra: pip install 'suture[sign]'",
        ) from error
    return signatures

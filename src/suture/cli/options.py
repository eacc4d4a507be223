"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from suture.compiler.cost.records import Records

cache = click.option(
    "--cache",
    type=click.Path(path_type=Path),
    envvar="SUTURE_CACHE",
    default=Path.home() / ".cache" / "suture",
    show_default="~/.cache/suture",
    help="Folder of the records and of what compilers keep.",
)

request = click.option(
    "--input",
    "request",
    type=click.Path(path_type=Path),
    help="A request: an image, text, or a .npy or .npz file.",
)


def records_of(cache_folder: Path) -> Records:
    """Return the records that are kept in a cache folder."""
    return Records(cache_folder / "records.sqlite")

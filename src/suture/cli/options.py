"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from suture.compiler.cost.plugin import DEFAULT, find_cost_model
from suture.compiler.cost.records import Records
from suture.errors import Location, ModelError, RequestError

DEFAULT_TARGET = "lambda-x86_64"
"""Of a model without a task."""
EFFORT = (
    "Time spent on choosing schedules: 0 by formula, nothing is measured, and equal models "
    "give equal bytes on any machine; 1 by the cost model, that of this machine where one was "
    "learned (suture tune); 2 measures the most promising few of each kernel here; "
    "3 searches. Kernels are measured only where this machine runs the target's code."
)

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

bind = click.option("--bind", multiple=True, help="DIMENSION=SIZE[,SIZE]…, with no task.")

size_speed = click.option(
    "--size-speed",
    type=click.Choice(["size", "balanced", "speed"]),
    default="balanced",
    show_default=True,
    help="Whether weights may grow for faster kernels: not at all, up to 1.2 times, freely.",
)

effort = click.option(
    "--effort",
    type=click.IntRange(0, 3),
    default=0,
    show_default=True,
    help=EFFORT,
)

cost_model = click.option(
    "--cost-model",
    "cost",
    default=DEFAULT,
    show_default=True,
    callback=lambda context, parameter, value: find_cost_model(value),
    help="Who tells passes what kernels take, and from effort 1 on which schedules are "
    "promising; see suture plugins.",
)


def unbound(texts: tuple[str, ...]) -> None:
    """Refuse sizes that are given beside a task."""
    if texts:
        raise RequestError("a task binds its own input", at=Location("--bind"))


def read_sizes(texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Read ``DIMENSION=SIZE`` or ``DIMENSION=SIZE,SIZE``; each size counts once."""
    sizes = {}
    for text in texts:
        name, _, given = text.partition("=")
        words = given.split(",")
        if not name or not all(word.isdigit() and int(word) > 0 for word in words):
            raise RequestError(
                "sizes are written DIMENSION=SIZE or DIMENSION=SIZE,SIZE",
                at=Location("--bind", text),
                hint="for example: --bind batch=1,8",
            )
        sizes[name] = tuple(dict.fromkeys(map(int, words)))
    return sizes


def neither(source: Path, command: str) -> ModelError:
    """Return the error of a source that is neither a task nor a model."""
    return ModelError(
        "neither a task.toml nor a model.onnx",
        at=Location(str(source)),
        hint=f"suture {command} --help shows an example",
    )


def records_of(cache_folder: Path) -> Records:
    """Return the records that are kept in a cache folder."""
    return Records(cache_folder / "records.sqlite")

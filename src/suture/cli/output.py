"""How commands speak: one JSON document, or lines for people."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PIPE_WIDTH = 240


@dataclass(frozen=True)
class Output:
    """Where a command's result goes.

    Attributes:
        json: Whether stdout carries one JSON document and nothing else.
        console: Standard output.
        notes: Standard error, for what happens on the way.
    """

    json: bool = False
    console: Console = field(default_factory=lambda: _console(stderr=False))
    notes: Console = field(default_factory=lambda: _console(stderr=True))

    @contextmanager
    def progress(self, *, total: int) -> Iterator[Callable[[str], None]]:
        """Yield a function to tell of each of ``total`` stages with, on standard error.

        A bar on a terminal, plain lines elsewhere.
        """
        if not self.notes.is_terminal:
            yield lambda line: self.notes.print(line, markup=False)
            return
        with Progress(console=self.notes, transient=True) as bar:
            stages = bar.add_task("starting", total=total)

            def say(line: str) -> None:
                bar.update(stages, advance=1, description=line.replace("[", r"\["))

            yield say

    def emit(self, document: Mapping[str, Any], show: Callable[[], None]) -> None:
        """Print the document as JSON, or let ``show`` print it for people."""
        if self.json:
            click.echo(json.dumps(document, indent=2, sort_keys=True, allow_nan=False))
        else:
            show()

    def line(self, text: str) -> None:
        """Print one line for people."""
        self.console.print(text, markup=False)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a table for people; numbers are set to the right."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for position, column in enumerate(columns):
            numeric = rows and all(isinstance(row[position], (int, float)) for row in rows)
            table.add_column(column, justify="right" if numeric else "left")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self.console.print(table)


def _console(*, stderr: bool) -> Console:
    """Return a console that breaks lines on a terminal only."""
    console = Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("[", r"\[")


def speaking(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--json`` and ``--verbose``, and an ``Output`` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @click.option("-v", "--verbose", is_flag=True, help="Log every decision to stderr.")
    @functools.wraps(command)
    def run(*, as_json: bool, verbose: bool, **options: Any) -> None:
        logging.basicConfig(
            level=logging.INFO if verbose else logging.ERROR,
            format="%(name)s: %(message)s",
            force=True,
        )
        command(Output(json=as_json), **options)

    return run

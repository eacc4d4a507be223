"""The command line."""

from __future__ import annotations

import sys

import click
from rich.console import Console

from suture import __version__
from suture.cli.building import compile_, invoke
from suture.cli.learning import learn
from suture.cli.library import library
from suture.cli.listing import passes, policies, targets
from suture.cli.planning import analyze, plan
from suture.errors import SutureError

INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="suture")
def suture() -> None:
    """Stitch small ONNX components into one optimised serverless program.

    Example: suture compile examples/digits/task.toml -o out
    """


for command in (library, analyze, plan, compile_, invoke, learn, passes, targets, policies):
    suture.add_command(command)


def main() -> None:
    """Run the command line; wrong input ends on one screen with exit code 2."""
    try:
        code = suture.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SutureError as error:
        _show(error)
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _show(error: SutureError) -> None:
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if error.at:
        console.print(f"where: {error.at}", markup=False)
    console.print(f"error: {error.message}", style="bold red", markup=False)
    if error.hint:
        console.print(f"hint:  {error.hint}", markup=False)

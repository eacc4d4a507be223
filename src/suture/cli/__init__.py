"""The command line."""

from __future__ import annotations

import importlib
import sys

import click
from rich.console import Console

from suture import __version__
from suture.errors import SutureError

INTERRUPTED = 130

COMMANDS = {
    "library": ("library", "library"),
    "analyze": ("planning", "analyze"),
    "plan": ("planning", "plan"),
    "compile": ("building", "compile_"),
    "invoke": ("building", "invoke"),
    "explain": ("explaining", "explain"),
    "sign": ("signing", "sign"),
    "verify": ("signing", "verify"),
    "bench": ("measuring", "bench"),
    "tune": ("tuning", "tune_"),
    "cost": ("tuning", "cost"),
    "learn": ("learning", "learn"),
    "warm": ("warming", "warm"),
    "passes": ("listing", "passes"),
    "targets": ("listing", "targets"),
    "policies": ("listing", "policies"),
    "plugins": ("listing", "plugins"),
}
"""Command → module of this package and name in it."""


class _Commands(click.Group):
    """The commands, each imported when it is asked for: compilers are slow to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"suture.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="suture")
def suture() -> None:
    """Stitch small ONNX components into one optimised serverless program.

    Example: suture compile examples/digits/task.toml -o out
    """


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

"""The command line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import click
from rich.console import Console

from suture import __version__
from suture.errors import SutureError

INTERRUPTED = 130


@dataclass(frozen=True)
class Entry:
    """A command that is not imported yet.

    Attributes:
        module: Of this package.
        name: In that module.
        help: The first sentence of what it says of itself.
    """

    module: str
    name: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "library": Entry("library", "library", "Add, list, check and exchange components."),
    "analyze": Entry(
        "planning",
        "analyze",
        "Print the request profile of real inputs: features and required steps.",
    ),
    "plan": Entry(
        "planning",
        "plan",
        "Weigh the candidate plans of TASK, mark the Pareto front and the choice.",
    ),
    "compile": Entry(
        "building",
        "compile_",
        "Build deployable packages of SOURCE, a task.toml or one model.onnx, with a report.",
    ),
    "invoke": Entry(
        "building", "invoke", "Run PACKAGE under a local Lambda Runtime API and call it."
    ),
    "explain": Entry(
        "explaining",
        "explain",
        "Say what is in PACKAGE and why: plan, passes, schedules, sizes, SBOM, signature.",
    ),
    "sign": Entry(
        "signing",
        "sign",
        "Sign PACKAGE with a local key; the signature lies beside it as PACKAGE.intoto.jsonl.",
    ),
    "verify": Entry(
        "signing",
        "verify",
        "Check that PACKAGE is what the owner of a key signed; names the files that are not.",
    ),
    "bench": Entry(
        "measuring",
        "bench",
        "Time what would ship for SOURCES, each a task.toml or a model.onnx.",
    ),
    "tune": Entry(
        "tuning",
        "tune_",
        "Measure schedules of the kernels of SOURCE, a task.toml or a model.onnx, and learn.",
    ),
    "cost": Entry("tuning", "cost", "What the cost model is worth."),
    "learn": Entry(
        "learning",
        "learn",
        "Learn a policy for TASK from telemetry, and estimate what it would have earned.",
    ),
    "warm": Entry(
        "warming",
        "warm",
        "Compile C libraries and the native runtime for every target, for fast links.",
    ),
    "passes": Entry(
        "listing",
        "passes",
        "List the passes, with their options and defaults, and the pipelines by name.",
    ),
    "targets": Entry("listing", "targets", "List the targets."),
    "policies": Entry(
        "listing", "policies", "List the policies, with their options and defaults."
    ),
    "plugins": Entry(
        "listing",
        "plugins",
        "List everything that can be plugged in: passes, schedules, cost models and the rest.",
    ),
}


class _Commands(click.Group):
    """The commands, each imported when it is asked for: compilers are slow to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name."""
        if cmd_name not in COMMANDS:
            return None
        entry = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(f"suture.cli.{entry.module}"), entry.name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command is for, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


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

"""Options of the passes, and what is told of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from suture.cli.output import Output
from suture.driver.bisecting import Found
from suture.driver.rewriting import Rewriting
from suture.passes.pipeline import parse_pipeline

PLACES = 3
"""Places that are named of one reason; the report and --json name all."""

passes_option = click.option(
    "--passes",
    default="exact",
    show_default=True,
    help="A pipeline: its name, its text, or a TOML file; suture passes lists what there is.",
)


def rewriting(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the passes, as one argument of the same name."""

    @passes_option
    @click.option(
        "--verify/--no-verify",
        default=True,
        show_default=True,
        help="Compare the answer after each pass with the one before.",
    )
    @click.option(
        "--dump",
        type=click.Path(path_type=Path, file_okay=False),
        help="Write the model into this folder as each pass leaves it.",
    )
    @functools.wraps(command)
    def run(*, passes: str, verify: bool, dump: Path | None, **options: Any) -> None:
        how = Rewriting(passes=parse_pipeline(passes), verify=verify, dump=dump)
        command(rewriting=how, **options)

    return run


def explain(out: Output, passes: Sequence[Mapping[str, Any]]) -> None:
    """Print what each pass made and declined, with reasons and places."""
    for entry in passes:
        changes = ", ".join(f"{n:+d} {name}" for name, n in entry["operators"].items())
        out.line(
            f"pass     {entry['name']}: {entry['nodes_before']} nodes to "
            f"{entry['nodes_after']}, {1e3 * entry['seconds']:.1f} ms"
            + (f"; {changes}" if changes else "")
        )
        for title in ("made", "declined"):
            for reason, places in _by_reason(entry[title]).items():
                shown = ", ".join(places[:PLACES])
                more = f" and {len(places) - PLACES} more" if len(places) > PLACES else ""
                out.line(f"  {title:8} {len(places)}: {reason} ({shown}{more})")
        if not entry["made"] and not entry["declined"]:
            out.line("  nothing to do")


def _by_reason(notes: Sequence[str]) -> dict[str, list[str]]:
    """Return the places of each reason, in the order in which reasons were first given."""
    places: dict[str, list[str]] = {}
    for note in notes:
        place, _, reason = note.partition(": ")
        places.setdefault(reason, []).append(place)
    return places


def bisected(out: Output, found: Found) -> bool:
    """Print the pass that breaks a model; return whether there is none."""
    culprit = found.bisection.culprit
    document = {
        "pipeline": list(map(str, found.pipeline)),
        "backends": list(found.backends),
        "checks": found.bisection.checks,
        "culprit": None
        if culprit is None
        else {
            "pass": str(culprit.graph_pass),
            "position": culprit.position,
            "where": str(culprit.error.at) if culprit.error.at else None,
            "error": culprit.error.message,
            "kept": str(found.kept),
        },
    }

    def show() -> None:
        told = f"{len(found.pipeline)} passes, {found.bisection.checks} checks"
        if culprit is None:
            held = " and ".join(found.backends)
            out.line(f"sound    no pass breaks the model for {held} ({told})")
            return
        out.line(f"culprit  {culprit.graph_pass}, pass {culprit.position + 1} ({told})")
        out.line(f"why      {culprit.error.at}: {culprit.error.message}")
        out.line(f"kept     {found.kept}: the model before it, and the request")

    out.emit(document, show)
    return culprit is None

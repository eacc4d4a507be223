"""``suture warm``."""

from __future__ import annotations

import os
import time
from pathlib import Path

import click

from suture.cli.options import cache
from suture.cli.output import Output, speaking
from suture.compiler.discovery import discover
from suture.compiler.target import GROUP, find_target
from suture.driver.warming import warm as warm_cache


@click.command()
@cache
@speaking
def warm(out: Output, cache: Path) -> None:
    """Compile C libraries and the native runtime for every target, for fast links.

    It takes a minute or two once; what is there already takes seconds.

    Example: suture warm
    """
    targets = [find_target(name) for name in sorted(discover(GROUP))]
    began = time.perf_counter()
    out.notes.print(f"C libraries and the native runtime, for packages: into {cache}")
    done = warm_cache(
        targets,
        cache,
        workers=len(os.sched_getaffinity(0)),
        say=lambda each: out.notes.print(f"  {each.triple}: {each.seconds:.1f} s"),
    )
    spent = time.perf_counter() - began
    document = {
        "triples": [{"triple": each.triple, "seconds": each.seconds} for each in done],
        "seconds": spent,
    }
    out.emit(document, lambda: out.line(f"done in {spent:.1f} s"))

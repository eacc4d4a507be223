"""Cold starts and sizes of packages, side by side: suture's, and plain Python + ONNX Runtime.

    .venv/bin/python benchmarks/package [--rounds N] [--requests N] [NETWORK ...]

Every flavour of a network is unpacked and started under the same Runtime API, Python's with
Amazon's client, one start of each in turn: first with the files thrown out of the page cache,
then with them in it. "By hand" is what ``pip install onnxruntime`` into a package gives. Ready
is the first poll for work; times are from before exec. Requests are float32 in base64.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
from pathlib import Path

from flavours import BY_HAND, Flavour, Subject, build
from requests_in_a_row import in_a_row, overhead

from suture.codegen.invoke import invoke
from suture.compiler.cost.rows import machine, versions

ROOT = Path(__file__).parents[2]
NATIVE = "suture, native"
COLUMNS = (
    *("package", "zip MB", "ready ms", "cold cache", "first answer ms", "cold cache"),
    *("warm ms", "peak RSS MB"),
)
WARM = 10


def evict(folder: Path) -> None:
    """Throw a folder's files out of the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def measure(subject: Subject, rounds: int) -> None:
    """Start every flavour in turn, cold and warm."""
    for _ in range(rounds):
        for flavour in subject.flavours.values():
            evict(flavour.folder)
            done = invoke(flavour.folder, subject.event, warm=0, handler=flavour.handler)
            flavour.add("ready, cold cache", done.ready_ms[0])
            flavour.add("first, cold cache", done.cold_ms[0])
            done = invoke(flavour.folder, subject.event, warm=WARM, handler=flavour.handler)
            flavour.add("ready", done.ready_ms[0])
            flavour.add("first", done.cold_ms[0])
            flavour.add("warm", statistics.median(done.warm_ms))
            flavour.add("rss", done.max_rss_bytes)


def row(title: str, flavour: Flavour) -> str:
    """Return one row of the table."""
    found = {what: statistics.median(values) for what, values in flavour.samples.items()}
    cells = (
        title,
        f"{flavour.zip_bytes / 1e6:.1f}",
        *(
            f"{found[what]:.1f}"
            for what in ("ready", "ready, cold cache", "first", "first, cold cache", "warm")
        ),
        f"{found['rss'] / 1e6:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def summary(subject: Subject) -> str:
    """Return the figures of the native package that the table has not."""
    native, plain = subject.flavours[NATIVE], subject.flavours[BY_HAND]
    ready = [statistics.median(each.samples["ready"]) for each in (native, plain)]
    first, warm = (statistics.median(native.samples[what]) for what in ("first", "warm"))
    rss = statistics.median(native.samples["rss"])
    needed = subject.weight_bytes + subject.arena_bytes
    total = sum(path.stat().st_size for path in native.folder.rglob("*") if path.is_file())
    return (
        f"{subject.name}: ready in 1/{ready[1] / ready[0]:.0f} of the time by hand; the first "
        f"answer takes {first - warm:.1f} ms more than a later one; "
        f"{total - subject.weight_bytes:,} bytes beyond weights, kernels among them; peak RSS "
        f"{(rss - needed) / 1e6:+.1f} MB against all weights and the arena"
    )


def main() -> None:
    """Build, measure and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/package")
    parser.add_argument("networks", nargs="*", default=["squeezenet", "resnet50"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument(
        "--requests", type=int, default=1_000, help="in a row, 1 MB each, of each network"
    )
    parser.add_argument("--face", type=Path, default=ROOT.parent / "face-slim-320.onnx")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    print(f"{machine()}; {versions()}; medians of {options.rounds} starts in turn")
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as name:
        for network in options.networks:
            subject = build(network, options.face, Path(name) / network)
            measure(subject, options.rounds)
            print(f"\n{network}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
            for title, flavour in subject.flavours.items():
                print(row(title, flavour))
            print(f"\n{summary(subject)}", flush=True)
            folder = subject.flavours[NATIVE].folder
            print(overhead(folder, subject.event), flush=True)
            print(in_a_row(folder, subject.event, options.requests), flush=True)


if __name__ == "__main__":
    main()

"""A U-Net at 512², whole and in strips of rows: memory of activations and time, in pairs.

    .venv/bin/python benchmarks/tiling.py [--edge N] [--memory-mb N]

Both are compiled by TVM for one thread, and run in turn in one process. ONNX Runtime runs the
same two models. The answers must agree to 1e-4 of the output's magnitude.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from suture.codegen.backend.base import Run
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import measure_for, pinned
from suture.compiler.cost.records import machine, versions
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equal, seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

sys.path.insert(0, str(Path(__file__).parent / "networks"))
from convolutional import unet


def main() -> None:
    """Compile, compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--memory-mb", type=float, default=19)
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    target = find_target("lambda-x86_64")
    model = unet(edge=options.edge)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    runs: dict[str, Run] = {}
    arenas: dict[str, int] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as name:
        folder = Path(name)
        tile = f"tile-spatial{{memory-mb={options.memory_mb:g}}}"
        for what, passes in (("whole", "exact"), ("strips", f"exact,{tile}")):
            made = model.clone()
            records = PassManager(parse_pipeline(passes)).run(made)
            if what == "strips":
                notes = [f"{note.at.node}: {note.reason}" for note in records[-1].made]
            backend, peer = TvmBackend(folder / "zig"), OrtBackend()
            compiled = backend.compile(made, target, folder / what)
            arenas[what] = compiled.arena_bytes or 0
            runs[what] = backend.load(compiled, made, threads=1)
            held = peer.compile(made, target, folder / f"{what}.ort")
            runs[f"{what}, ONNX Runtime"] = peer.load(held, made, threads=1)
        assert_equal(runs["whole"](inputs), runs["strips"](inputs), what="strips", rtol=1e-4)
        with pinned(1):
            timings = measure_for(options.seconds, runs, inputs)
    print(f"{machine()}; {versions()}; U-Net at {options.edge}², one thread\n")
    columns = ("", "arena MiB", "ms", "ratio of time", "ONNX Runtime ms", "ratio")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for what, arena in arenas.items():
        peer_name = f"{what}, ONNX Runtime"
        print(
            f"| {what} | {arena / 2**20:.1f} | {timings.median_ms[what]:.0f} "
            f"| {timings.ratio(what, 'whole'):.2f} | {timings.median_ms[peer_name]:.0f} "
            f"| {timings.ratio(peer_name, 'whole, ONNX Runtime'):.2f} |"
        )
    print("\n" + "\n".join(f"- {note}" for note in notes))


if __name__ == "__main__":
    main()

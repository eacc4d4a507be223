"""Networks whole and in parts: memory of activations and time, in pairs.

    .venv/bin/python benchmarks/tiling.py [--columns] [--memory-mb N …] [--extra X]

A U-Net at 512² in strips of rows, or a transformer's wide layer in blocks of columns.
Both are compiled by TVM for one thread, and run in turn in one process. ONNX Runtime runs the
same two models. The answers must agree to 1e-4 of the output's magnitude. Beside the ratio of
times stands what the cost model expects of it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir

from suture.codegen.backend.base import Run
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import measure_for, pinned
from suture.compiler.cost.nodes import predicted
from suture.compiler.cost.rows import machine, versions
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equal, seeded_inputs
from suture.driver.options import Options
from suture.passes.base import PassContext
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

sys.path.insert(0, str(Path(__file__).parent / "networks"))
from convolutional import unet
from draft import Draft
from transformers import feed_forward

ROWS, WIDTH, HIDDEN = 4096, 256, 2048
"""Of the wide layer: tokens, and columns outside and inside."""
WHOLE = "whole"


def main() -> None:
    """Compile, compare and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--columns", action="store_true")
    parser.add_argument("--memory-mb", type=float, nargs="+")
    parser.add_argument("--extra", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    target = find_target("lambda-x86_64")
    what = f"wide layer {ROWS}×{WIDTH}×{HIDDEN}" if options.columns else "U-Net at 512²"
    model = wide_layer() if options.columns else unet(edge=512)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    runs: dict[str, Run] = {}
    arenas: dict[str, int] = {}
    expected_us: dict[str, float] = {}
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="suture-bench-") as name:
        folder = Path(name)
        graph_pass, most = ("columns", 12.0) if options.columns else ("spatial", 17.0)
        cost = Options(cache=folder).cost_of(target)
        context = PassContext(target=target, cost=cost)
        for limit in (None, *(options.memory_mb or (most,))):
            tile = (
                f",tile-{graph_pass}{{memory-mb={limit:g},extra={options.extra:g}}}"
                if limit
                else ""
            )
            part = f"at most {limit:g} MiB" if limit else WHOLE
            made = model.clone()
            records = PassManager(parse_pipeline(f"exact{tile}")).run(made, context)
            expected_us[part] = predicted(cost(made), made.graph)
            if limit:
                told = (*records[-1].made, *records[-1].declined)
                notes += [f"{part}: {note.at}: {note.reason}" for note in told]
            backend, peer = TvmBackend(folder / "zig"), OrtBackend()
            compiled = backend.compile(made, target, folder / str(len(runs)))
            arenas[part] = compiled.arena_bytes or 0
            runs[part] = backend.load(compiled, made, threads=1)
            held = peer.compile(made, target, folder / f"{len(runs)}.ort")
            runs[f"{part}, ONNX Runtime"] = peer.load(held, made, threads=1)
        for part, run in runs.items():
            assert_equal(runs[WHOLE](inputs), run(inputs), what=part, rtol=1e-4)
        with pinned(1):
            timings = measure_for(options.seconds, runs, inputs)
    print(f"{machine()}; {versions()}; {what}, one thread\n")
    columns = ("", "arena MiB", "ms", "ratio", "expected", "ONNX Runtime ms", "ratio")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for part, arena in arenas.items():
        peer_name = f"{part}, ONNX Runtime"
        print(
            f"| {part} | {arena / 2**20:.1f} | {timings.median_ms[part]:.0f} "
            f"| {timings.ratio(part, WHOLE):.2f} "
            f"| {expected_us[part] / expected_us[WHOLE]:.2f} "
            f"| {timings.median_ms[peer_name]:.0f} "
            f"| {timings.ratio(peer_name, f'{WHOLE}, ONNX Runtime'):.2f} |"
        )
    print("\n" + "\n".join(f"- {note}" for note in notes))


def wide_layer() -> ir.Model:
    """Return two products with GELU between, as they stand in a transformer."""
    draft = Draft("wide", (1, ROWS, WIDTH))
    return draft.finish(feed_forward(draft, draft.inputs[0], WIDTH, HIDDEN))


if __name__ == "__main__":
    main()

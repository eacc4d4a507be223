"""What ``join-convolutions`` does to networks whose convolutions read one value side by side.

    .venv/bin/python benchmarks/networks/siblings.py [--passes TEXT] [NETWORK ...]

Each network goes through ``exact``, and through ``exact`` and the further passes; both are
timed on one thread, in ONNX Runtime and in TVM's program, round by round. A ratio is the
median over the rounds of the time with the further passes by that without.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir
from light import light
from simplifiers import alone

from suture.codegen.backend.base import Run
from suture.codegen.backend.ort import OrtProgram
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import measure_for, pinned
from suture.compiler.model import save_model
from suture.compiler.target import find_target
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

NETWORKS = ("inception_v1", "inception_v2")
BACKENDS = ("ort", "tvm")


def program(backend: str, model: ir.Model, folder: Path) -> Run:
    """Return a model as a backend runs it on one thread."""
    if backend == "ort":
        save_model(model, folder / "model.onnx")
        return OrtProgram(folder / "model.onnx", 1)
    tvm = TvmBackend(Path.home() / ".cache" / "suture" / "zig")
    target = find_target("lambda-x86_64").with_threads(1)
    return tvm.load(tvm.compile(model, target, folder), model, threads=1)


def compare(
    name: str, further: str, backends: Sequence[str], options: argparse.Namespace
) -> None:
    """Print a network's row of the table."""
    plain = light(name)
    PassManager(parse_pipeline("exact")).run(plain)
    joined = plain.clone()
    records = PassManager(parse_pipeline(further)).run(joined)
    inputs = seeded_inputs(plain, np.random.default_rng(0))
    assert_equivalent(plain, joined, inputs)
    cells = [name, str(sum(len(record.made) for record in records))]
    for backend in backends:
        with tempfile.TemporaryDirectory(prefix="suture-bench-") as root, pinned(1):
            runs = {}
            for key, model in (("plain", plain), ("joined", joined)):
                folder = Path(root) / key
                folder.mkdir()
                runs[key] = program(backend, model, folder)
            with alone(options.lock):
                timings = measure_for(options.seconds, runs, inputs)
        cells += [f"{timings.median_ms[key]:.2f}" for key in runs]
        cells.append(f"{timings.ratio('joined', 'plain'):.3f}")
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, prog="siblings.py")
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--passes", default="join-convolutions", help="behind exact")
    parser.add_argument("--backend", choices=(*BACKENDS, "both"), default="both")
    parser.add_argument("--seconds", type=float, default=8, help="of timing a network")
    parser.add_argument("--lock", type=Path, help="a file to hold locked while timing")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    backends = BACKENDS if options.backend == "both" else (options.backend,)
    told = [f"{each} ms | with {options.passes} | ratio" for each in backends]
    print("| network | groups joined | " + " | ".join(told) + " |")
    print("|---|---|" + "---|---|---|" * len(backends))
    for name in options.networks:
        compare(name, options.passes, backends, options)


if __name__ == "__main__":
    main()

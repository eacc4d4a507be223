"""What the ``exact`` pipeline takes: seconds on ResNet50's graph, memory on a large model.

    .venv/bin/python benchmarks/pass_limits.py [NETWORK ...]

Each network is a file; a process of its own loads it, passes it through ``exact`` and saves
the result, once as it is and once with every pass verified. Seconds are those of the passes;
memory is the most that the process ever had beyond its libraries, pages of the file that are
mapped among it. Medians of three processes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from suture.compiler.cost.rows import machine, versions
from suture.compiler.model import load_model, save_model
from suture.compiler.verify import seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.observers import VerifyingObserver
from suture.passes.pipeline import parse_pipeline

sys.path.insert(0, str(Path(__file__).parent / "networks"))
from light import light

ROUNDS = 3
COLUMNS = ("network", "MB", "verified", "seconds", "memory MB", "of the size")


def run(path: Path, verify: bool, told: Path) -> None:
    """Pass a file through ``exact``; tell seconds, and memory before and at most in bytes."""
    before = peak_bytes()
    model = load_model(path)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    observers = [VerifyingObserver(inputs)] if verify else []
    began = time.perf_counter()
    PassManager(parse_pipeline("exact"), observers).run(model)
    seconds = time.perf_counter() - began
    save_model(model, path.with_name("passed.onnx"))
    told.write_text(json.dumps([seconds, peak_bytes() - before]), encoding="utf-8")


def peak_bytes() -> int:
    """Return the most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def write(name: str, path: Path) -> None:
    """Write a light network to a file."""
    save_model(light(name), path)


def alone(function: object, *arguments: object) -> None:
    """Run a function in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/pass_limits.py")
    parser.add_argument("networks", nargs="*", default=["resnet50", "vgg19"])
    options = parser.parse_args()
    print(f"{machine()}; {versions()}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name in options.networks:
        with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder:
            path, told = Path(folder) / f"{name}.onnx", Path(folder) / "told.json"
            alone(write, name, path)
            size = sum(each.stat().st_size for each in Path(folder).iterdir())
            for verify in (False, True):
                found = []
                for _ in range(ROUNDS):
                    alone(run, path, verify, told)
                    found.append(json.loads(told.read_text("utf-8")))
                seconds, memory = (
                    statistics.median(each) for each in zip(*found, strict=True)
                )
                cells = (
                    *(name, f"{size / 1e6:.0f}", "yes" if verify else "no"),
                    *(f"{seconds:.1f}", f"{memory / 1e6:.0f}", f"{memory / size:.2f}"),
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

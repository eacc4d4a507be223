"""The ``exact`` pipeline against onnxsim and onnxslim: nodes, and time in ONNX Runtime.

    .venv/bin/python benchmarks/networks/simplifiers.py [--passes TEXT] [NETWORK ...]

Each network is rewritten by each of the three, checked against the original, and timed in
ONNX Runtime as it comes (all its own optimisations on), in one process, round by round. A
ratio is the median over the rounds of our time by another's; below 1 ours is faster.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxsim
import onnxslim
from catalogue import FACE, SETS, build

from suture.codegen.backend.ort import OrtProgram
from suture.codegen.measure import Timings, measure_for, pinned
from suture.compiler.cost.rows import machine
from suture.compiler.verify import assert_equal, run_reference, seeded_inputs
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

ROOT = Path(__file__).parents[2]
OURS, ORIGINAL = "suture", "original"
PEERS = ("onnxsim", "onnxslim")
DEFAULT = (*SETS["light"], *SETS["built"], "bert_masked")
Rewrite = Callable[[onnx.ModelProto], onnx.ModelProto]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What became of one network.

    Attributes:
        name: The network.
        nodes: Nodes by who rewrote it.
        seconds: Time of rewriting, by who did it.
        timings: Time of the results in ONNX Runtime.
        error: Greatest difference of our answers, as a fraction of the output's magnitude.
    """

    name: str
    nodes: Mapping[str, int]
    seconds: Mapping[str, float]
    timings: Timings
    error: float

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        medians, everyone = self.timings.median_ms, (ORIGINAL, *PEERS, OURS)
        return (
            Path(self.name).name,
            " / ".join(str(self.nodes[who]) for who in everyone),
            " / ".join(f"{medians[who]:.2f}" for who in everyone),
            *(f"{self.timings.ratio(OURS, who):.3f}" for who in (ORIGINAL, *PEERS)),
            f"{self.error:.0e}",
            " / ".join(f"{self.seconds[who]:.1f}" for who in (*PEERS, OURS)),
        )


def suture(text: str) -> Rewrite:
    """Return a pipeline of ours as a function."""

    def rewrite(proto: onnx.ModelProto) -> onnx.ModelProto:
        model = ir.from_proto(proto)
        PassManager(parse_pipeline(text)).run(model)
        return ir.to_proto(model)

    return rewrite


def rewriters(text: str) -> dict[str, Rewrite]:
    """Return everyone who rewrites, by name."""
    return {
        ORIGINAL: lambda proto: proto,
        "onnxsim": lambda proto: onnxsim.simplify(proto)[0],
        "onnxslim": onnxslim.slim,
        OURS: suture(text),
    }


def compare(name: str, options: argparse.Namespace, folder: Path) -> Comparison:
    """Rewrite a network in every way and time what comes out."""
    model = ir.external_data.load_to_model(build(name, options.face))
    inputs = seeded_inputs(model, np.random.default_rng(0))
    expected = run_reference(model, inputs)
    whole = ir.to_proto(model).SerializeToString()
    nodes, seconds, runs, error = {}, {}, {}, 0.0
    for who, rewrite in rewriters(options.passes).items():
        proto = onnx.ModelProto.FromString(whole)
        began = time.perf_counter()
        made = rewrite(proto)
        seconds[who] = time.perf_counter() - began
        nodes[who] = len(made.graph.node)
        path = folder / f"{who}.onnx"
        path.write_bytes(made.SerializeToString())
        gap = assert_equal(expected, run_reference(ir.from_proto(made), inputs), what=who)
        error = gap if who == OURS else error
    with alone(options.lock):
        for who in nodes:
            runs[who] = OrtProgram(folder / f"{who}.onnx", 1)
        timings = measure_for(options.seconds, runs, inputs)
    return Comparison(name=name, nodes=nodes, seconds=seconds, timings=timings, error=error)


@contextmanager
def alone(lock: Path | None) -> Iterator[None]:
    """Stay on one processor, and hold the lock if there is one."""
    with pinned(1):
        if lock is None:
            yield
            return
        with lock.open("a") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="simplifiers.py")
    parser.add_argument("networks", nargs="*", default=DEFAULT, help="or ONNX files")
    parser.add_argument("--passes", default="exact", help="our pipeline")
    parser.add_argument("--seconds", type=float, default=8, help="of timing a network")
    parser.add_argument("--lock", type=Path, help="a file to hold locked while timing")
    parser.add_argument(
        "--face", type=Path, default=ROOT.parent / "shared" / "models" / f"{FACE}.onnx"
    )
    return parser.parse_args()


def main() -> None:
    """Compare and print a Markdown table."""
    options = read_options()
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    told = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", *PEERS))
    print(f"{machine()}; {told}; one thread; {options.passes}\n")
    everyone = " / ".join((ORIGINAL, *PEERS, OURS))
    titles = (
        "network",
        f"nodes: {everyone}",
        f"ms: {everyone}",
        *(f"to {who}" for who in (ORIGINAL, *PEERS)),
        "error",
        f"seconds: {' / '.join((*PEERS, OURS))}",
    )
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    done = []
    for name in options.networks:
        if name == FACE and not options.face.is_file():
            print(f"| {name} | skipped: {options.face} is not there; give --face |")
            continue
        with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder:
            done.append(compare(name, options, Path(folder)))
        print(f"| {' | '.join(done[-1].cells())} |", flush=True)
    print()
    for who in (ORIGINAL, *PEERS):
        ratios = [each.timings.ratio(OURS, who) for each in done]
        more = [each.name for each in done if each.nodes[OURS] > each.nodes[who]]
        mean = statistics.geometric_mean(ratios)
        print(
            f"to {who}: geometric mean {mean:.3f}, worst {max(ratios):.3f}; "
            f"more nodes: {', '.join(more) or 'nowhere'}"
        )


if __name__ == "__main__":
    main()

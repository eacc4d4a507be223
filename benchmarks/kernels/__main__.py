"""Single kernels against what this machine can do at best and against ONNX Runtime.

    .venv/bin/python benchmarks/kernels [--mcpu x86-64-v4] [--lock FILE] [WORD ...]

One thread, float32. Each case of ``cases.py`` is compiled as a network of its own and its
answer checked; only the kernels that compute the operator count, not those that bring its
tensors into blocks of channels and back. Its bound is the longer of two times, measured in
the same run: its multiply-adds in a loop of nothing else, or its bytes in a loop that reads
and writes as many. Winograd's operations are counted as the direct convolution's, so that it
may pass its bound. ONNX Runtime's time is that of its own nodes, without its reorderings. All
run in turn in one process, and the fastest of the rounds counts: a bound is one too.

The same cases are a suite of pytest-benchmark, whose clock runs in these kernels only:

    .venv/bin/pytest benchmarks/kernels --benchmark-save NAME
    .venv/bin/pytest-benchmark compare
"""

from __future__ import annotations

import argparse
import fcntl
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from cases import CASES, Case
from kernels import Fastest, Kernels, time_rounds
from machine import Machine

from suture.codegen.measure import pinned
from suture.compiler.cost.rows import machine, versions
from suture.compiler.target import find_target
from suture.errors import SutureError

COLUMNS = (
    *("operator", "shape", "kernels", "µs", "GFLOP/s", "GB/s", "bound by"),
    *("of the bound", "ratio to ONNX Runtime"),
)


def main() -> None:
    """Measure the cases and print a Markdown table."""
    options = read_options()
    target = replace(find_target("lambda-x86_64"), mcpu=options.mcpu)
    chosen = [case for case in CASES if all(word in str(case) for word in options.words)]
    with pinned(1), tempfile.TemporaryDirectory(prefix="suture-kernels-") as name:
        folder = Path(name)
        with held(options.lock):
            peak = Machine(target, folder)
        print(f"{machine()}; {versions()}")
        print(
            f"{options.mcpu}, 1 thread; multiply-adds: "
            f"{peak.flops_per_second / 1e9:.0f} GFLOP/s\n"
        )
        print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
        ratios = []
        for number, case in enumerate(chosen):
            work = folder / str(number)
            work.mkdir()
            try:
                kernels = Kernels(case, target, work, folder / "zig")
            except SutureError as error:
                print(f"| {case.operator} | {case.shape} | {error.message} |")
                continue
            with held(options.lock):
                moving = peak.mover(kernels.work.read, kernels.work.written)
                timed = time_rounds(kernels, moving, work, rounds=options.rounds)
            print(row(case, kernels, timed, peak), flush=True)
            ratios.append(timed.ours_us / timed.peer_us)
    if ratios:
        mean = statistics.geometric_mean(ratios)
        print(f"\ngeometric mean of the ratios: {mean:.2f}")


def row(case: Case, kernels: Kernels, timed: Fastest, peak: Machine) -> str:
    """Return one row of the table."""
    spent_us, work = timed.ours_us, kernels.work
    spent = spent_us / 1e6
    computing = work.flops / peak.flops_per_second / spent
    moving = timed.moving_us / spent_us
    counts = Counter(kernels.schedules)
    names = [f"{each}{f' ×{count}' if count > 1 else ''}" for each, count in counts.items()]
    cells = (
        case.operator,
        case.shape,
        ", ".join(names),
        f"{spent_us:.0f}" if spent_us >= 10 else f"{spent_us:.1f}",
        f"{work.flops / spent / 1e9:.1f}" if work.flops else "–",
        f"{(work.read + work.written) / spent / 1e9:.1f}",
        "arithmetic" if computing >= moving else "memory",
        f"{max(computing, moving):.0%}",
        f"{spent_us / timed.peer_us:.2f}",
    )
    return f"| {' | '.join(cells)} |"


@contextmanager
def held(lock: Path | None) -> Iterator[None]:
    """Hold a file locked, if there is one."""
    with ExitStack() as stack:
        if lock is not None:
            fcntl.flock(stack.enter_context(lock.open("a")), fcntl.LOCK_EX)
        yield


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/kernels",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help="only cases with all of these in their names")
    parser.add_argument("--mcpu", default="x86-64-v3")
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--lock", type=Path, help="a file to hold locked while timing")
    return parser.parse_args()


if __name__ == "__main__":
    main()

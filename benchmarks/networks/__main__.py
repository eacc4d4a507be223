"""Whole networks in TVM against ONNX Runtime and OpenVINO, in one process, round by round.

    .venv/bin/python benchmarks/networks [--set light|built|all] [--threads N] [NETWORK ...]

``light`` are the light models of the onnx package with random weights of their own, ``built``
MobileNetV2, two layers of BERT, ViT-Tiny, a small U-Net and a detector of faces, ``all`` both;
``quantised`` is ResNet50 in 8 bits (QDQ), with weights of 7 bits and of 8, and MobileNetV2
with weights of 7. A network can also be the path of an ONNX file. ``--batch N`` gives networks
of one image N at once. Every runtime gets the same float32 model and input. The peers read
the model as it is; OpenVINO is set up for latency, ONNX Runtime is as it comes. A ratio is the
median over the rounds of one run's time by the other's; below 1 TVM is faster.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from catalogue import ALL, EXTRA, FACE, SETS
from trial import PEERS, Settings, Trial, attempt

from suture.compiler.cost.rows import machine, versions

ROOT = Path(__file__).parents[2]
SHOWN_FLAGS = ("avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
COLUMNS = (
    "network",
    "TVM ms",
    "ONNX Runtime ms",
    "OpenVINO ms",
    "ratio to ONNX Runtime",
    "ratio to the better",
    "relative error",
    "compile s",
    "weights MB / model MB",
    "memory MB: TVM, ONNX Runtime, OpenVINO",
)


def instruction_sets() -> str:
    """Return those of the processor that matter here."""
    flags = set(Path("/proc/cpuinfo").read_text("utf-8", errors="replace").split())
    return " ".join(flag for flag in SHOWN_FLAGS if flag in flags)


def peer_version() -> str:
    """Return OpenVINO's version."""
    try:
        return f"openvino={version('openvino')}"
    except PackageNotFoundError:
        return "no openvino"


def row(trial: Trial) -> str:
    """Return one row of the table."""
    medians, made = trial.timings.median_ms, trial.made
    weights = made.compiled.weight_bytes / 1e6 if made and made.compiled else None
    model = made.model_bytes / 1e6 if made else None
    memory = (trial.memory_bytes.get(name) for name in ("tvm", *PEERS))
    cells = (
        Path(trial.name).name,
        *(number(medians.get(name), ".2f") for name in ("tvm", *PEERS)),
        number(trial.ratio("ort"), ".2f"),
        number(trial.ratio(*PEERS), ".2f"),
        number(trial.error, ".0e"),
        number(made.seconds if made else None, ".1f"),
        f"{number(weights, '.1f')} / {number(model, '.1f')}",
        ", ".join(number(size / 1e6 if size else None, ".0f") for size in memory),
    )
    return f"| {' | '.join(cells)} |"


def number(value: float | None, form: str) -> str:
    """Return a number, or a dash where there is none."""
    return "–" if value is None else format(value, form)


def summary(title: str, trials: Iterable[Trial]) -> str:
    """Return the geometric means and the worst of a set."""
    lines = []
    for peer, names in (("ONNX Runtime", ("ort",)), ("the better", PEERS)):
        ratios = {t.name: r for t in trials if (r := t.ratio(*names)) is not None}
        if ratios:
            worst = max(ratios, key=lambda name: ratios[name])
            mean = statistics.geometric_mean(ratios.values())
            lines.append(
                f"{title}, {len(ratios)} networks, ratio to {peer}: geometric mean "
                f"{mean:.2f}, worst {ratios[worst]:.2f} ({worst})"
            )
    return "\n".join(lines)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/networks")
    known = ", ".join((*(name for names in SETS.values() for name in names), *EXTRA))
    parser.add_argument("networks", nargs="*", help=f"{known}, or an ONNX file")
    parser.add_argument("--set", choices=(*SETS, "all"), default="all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1, help="images at once")
    parser.add_argument("--mcpu", default="x86-64-v3")
    parser.add_argument("--rounds", type=int, help="in place of as many as fit --seconds")
    parser.add_argument("--seconds", type=float, default=8, help="of timing a network")
    parser.add_argument("--memory", action="store_true", help="find out the peak memory too")
    parser.add_argument("--lock", type=Path, help="a file to hold locked while timing")
    parser.add_argument(
        "--face", type=Path, default=ROOT.parent / "shared" / "models" / f"{FACE}.onnx"
    )
    options = parser.parse_args()
    if not 1 <= options.threads <= len(os.sched_getaffinity(0)):
        parser.error("--threads: this process may not use as many processors")
    return options


def main() -> None:
    """Compare and print a Markdown table."""
    options = read_options()
    settings = Settings(
        mcpu=options.mcpu,
        threads=options.threads,
        batch=options.batch,
        rounds=options.rounds,
        seconds=options.seconds,
        lock=options.lock,
        face=options.face,
    )
    chosen = ALL if options.set == "all" else (options.set,)
    sets = {name: SETS[name] for name in chosen}
    if options.networks:
        sets = {"chosen": tuple(options.networks)}
    threads = f"{options.threads} thread" + "s" * (options.threads > 1)
    print(f"{machine()} ({instruction_sets()}); {versions()} {peer_version()}")
    print(f"{options.mcpu}, {threads}\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    done: dict[str, list[Trial]] = {title: [] for title in sets}
    for title, names in sets.items():
        for name in names:
            if name == FACE and not options.face.is_file():
                print(f"| {name} | skipped: {options.face} is not there; give --face |")
                continue
            with tempfile.TemporaryDirectory(prefix="suture-bench-") as folder:
                trial = attempt(name, settings, Path(folder), weigh=options.memory)
            print(row(trial), flush=True)
            done[title].append(trial)
    trials = [trial for each in done.values() for trial in each]
    notes = [f"- {trial.name}: {note}" for trial in trials for note in trial.notes]
    print("\n" + "\n".join((*notes, "")) if notes else "")
    for title, each in done.items():
        print(summary(title, each))
    if len(done) > 1:
        print(summary("all", trials))


if __name__ == "__main__":
    main()

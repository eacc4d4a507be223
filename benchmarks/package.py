"""Packages of one program side by side: suture's own, and plain Python + ONNX Runtime.

    .venv/bin/python benchmarks/package.py

The program is the example's plan for a spoilt digit. Every flavour is a zip, unpacked and run
under the same Runtime API, Python's with Amazon's client, one start of each in turn. "Plain"
is what ``pip install onnxruntime`` into a package gives, with the handler a user would write.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from suture.codegen.archive import Content, write_archive
from suture.codegen.flavour import Runtime
from suture.codegen.invoke import HANDLER, invoke, read_model
from suture.codegen.request import tensor
from suture.compiler.cost.records import Records, machine, versions
from suture.compiler.model import save_model
from suture.compiler.profile.decode import decode
from suture.compiler.task import read_task
from suture.driver.building import Options, Which
from suture.driver.compiling import compile_task
from suture.errors import Location

DIGITS = Path(__file__).parent.parent / "examples" / "digits"
PLAIN = """
import base64
import os

import numpy as np
import onnxruntime

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
path = os.path.join(os.path.dirname(__file__), "model.onnx")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def handler(event, context):
    entry = event["inputs"][0]
    data = np.frombuffer(base64.b64decode(entry["data"]), np.uint8).reshape(entry["shape"])
    (answer,) = session.run(None, {entry["name"]: data})
    return {"outputs": [{"data": answer.ravel().tolist()}]}
"""


@dataclass
class Flavour:
    """A package and what was measured of it."""

    path: Path
    handler: str = HANDLER
    ready_ms: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    rss_bytes: list[int] = field(default_factory=list)


def plain_package(model: Path, folder: Path) -> Path:
    """Write the package that a user would make by hand."""
    files: dict[str, Content] = {"plain.py": PLAIN.encode(), "model.onnx": model}
    for name in ("numpy", "onnxruntime", "flatbuffers", "packaging"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        for source in (root, root.parent / f"{name}.libs"):
            for path in source.rglob("*") if source.is_dir() else ():
                if path.is_file() and "__pycache__" not in path.parts:
                    files[path.relative_to(root.parent).as_posix()] = path
    write_archive(folder / "plain.zip", files)
    return folder / "plain.zip"


def build(folder: Path) -> dict[str, Flavour]:
    """Build every flavour of the same program."""
    task, cache = read_task(DIGITS / "task.toml"), folder / "cache"
    kinds: tuple[tuple[Runtime, Which], ...] = (
        ("native", "tvm"),
        ("native", "ort"),
        ("python", "tvm"),
        ("python", "ort"),
    )
    flavours: dict[str, Flavour] = {}
    model = folder / "model.onnx"
    for runtime, backend in kinds:
        done = compile_task(
            task,
            DIGITS / "spoilt.png",
            folder / runtime / backend,
            options=Options(cache=cache, backend=backend, runtime=runtime),
            records=Records(cache / "records.sqlite"),
            say=lambda line: None,
        )
        flavours[f"suture, {runtime}, {backend}"] = Flavour(done.built[0].written.path)
        assert done.planned is not None
        save_model(done.planned.model, model)
    flavours["Python + onnxruntime"] = Flavour(plain_package(model, folder), "plain.handler")
    return flavours


def measure(flavours: Mapping[str, Flavour], event: Mapping[str, Any], rounds: int) -> None:
    """Start each in turn."""
    for _ in range(rounds):
        for flavour in flavours.values():
            done = invoke(flavour.path, event, warm=30, handler=flavour.handler)
            flavour.ready_ms += done.ready_ms
            flavour.cold_ms += done.cold_ms
            flavour.warm_ms.append(statistics.median(done.warm_ms))
            flavour.rss_bytes.append(done.max_rss_bytes)


def main() -> None:
    """Build, measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    logging.disable(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        flavours = build(Path(name))
        model = read_model(flavours["suture, native, tvm"].path)
        pixels = decode(DIGITS / "spoilt.png", "image/gray")
        entry = tensor(model["inputs"][0], pixels, Location("spoilt.png"))
        measure(flavours, {"inputs": [entry]}, rounds)
        print(f"{machine()}; {versions()}; medians of {rounds} starts in turn\n")
        print("| package | zip MB | ready ms | first answer ms | warm ms | peak RSS MB |")
        print("|---|---|---|---|---|---|")
        for title, flavour in flavours.items():
            print(
                f"| {title} | {flavour.path.stat().st_size / 1e6:.2f} "
                f"| {statistics.median(flavour.ready_ms):.1f} "
                f"| {statistics.median(flavour.cold_ms):.1f} "
                f"| {statistics.median(flavour.warm_ms):.2f} "
                f"| {statistics.median(flavour.rss_bytes) / 1e6:.0f} |"
            )


if __name__ == "__main__":
    main()

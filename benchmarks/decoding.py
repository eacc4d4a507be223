"""How fast the native runtime reads and writes JSON, and the Python runtime beside it.

    .venv/bin/python benchmarks/decoding.py

The request is one tensor of 150,000 float32 in four spellings; the answer holds them again.
The C code is compiled as it ships. Best of 50 rounds; megabytes are those of the JSON.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from suture.codegen.runtime.python import protocol
from suture.codegen.zig import compile_c
from suture.compiler.target import lambda_x86_64

COUNT = 150_000
ROUNDS = 50
SOURCES = (
    *("answer", "base64", "data", "image_none", "inputs"),
    *("json", "numbers", "protocol", "serve", "text"),
)


def spellings() -> dict[str, list[str]]:
    """Return the numbers as texts by a name for how they are written."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal(COUNT).astype(np.float32)
    return {
        "0.123456789": [f"{value:.9f}" for value in rng.random(COUNT)],
        "-1.2345678e-05": [f"{value * 1e-5:.7e}" for value in values],
        "Python's tolist()": [repr(float(value)) for value in values],
        "shortest": [str(value) for value in values],
    }


def body_of(texts: list[str]) -> bytes:
    """Return a request whose data are some texts."""
    head = f'{{"inputs": [{{"name": "x", "datatype": "FP32", "shape": [{COUNT}], "data": ['
    return (head + ", ".join(texts) + "]}]}").encode()


def python_ms(body: bytes) -> float:
    """Return the best milliseconds in which the Python runtime reads a body."""
    specs = [{"name": "x", "datatype": "FP32", "shape": [-1]}]
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        protocol.parse_request(*protocol.parse_body(body), specs, specs)
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main() -> None:
    """Compile, time, print a table."""
    runtime = files("suture.codegen.runtime") / "native"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [str(runtime / f"{source}.c") for source in SOURCES]
        program = compile_c(
            [
                "-std=c11",
                "-O2",
                f"-I{runtime}",
                *sources,
                str(Path(__file__).with_suffix(".c")),
            ],
            "decoding",
            lambda_x86_64(),
            workdir=folder,
            cache=folder / "zig",
        )
        print("| numbers like | MB | reads ms | MB/s | writes ms | Python reads ms |")
        print("|---|---|---|---|---|---|")
        for spelling, texts in spellings().items():
            body = body_of(texts)
            (folder / "body").write_bytes(body)
            told = subprocess.check_output([program, folder / "body", str(ROUNDS)], text=True)
            read_us, write_us = map(float, told.split())
            print(
                f"| {spelling} | {len(body) / 1e6:.2f} | {read_us / 1e3:.2f} "
                f"| {len(body) / read_us:.0f} | {write_us / 1e3:.2f} | {python_ms(body):.0f} |"
            )


if __name__ == "__main__":
    main()

"""How fast the native runtime reads and writes JSON, and reads pictures; Python beside it.

    .venv/bin/python benchmarks/decoding.py

The request is one tensor of 150,000 float32 in four spellings; the answer holds them again.
Pictures are of 1024 by 768 pixels, smooth shapes and some noise, and Pillow reads them too.
The C code is compiled as it ships. Best of 50 rounds; megabytes are those of JSON and files.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from PIL import Image

from suture.codegen.decoder import image_object
from suture.codegen.link import compile_server
from suture.codegen.runtime.python import protocol
from suture.codegen.zig import compile_c
from suture.compiler.target import lambda_x86_64

RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
PICTURES = (
    Path(__file__).parents[1] / "tests" / "codegen" / "runtime" / "native" / "image_test.c"
)
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


def pictures() -> dict[str, bytes]:
    """Return files of one picture by a name for their kind."""
    y, x = np.mgrid[:768, :1024]
    waves = np.stack([np.sin(x / 17 + y / 29), np.cos(x / 23), np.sin(x * y / 997)], -1)
    noise = np.random.default_rng(0).normal(0, 6, waves.shape)
    image = Image.fromarray((128 + 90 * waves + noise).clip(0, 255).astype(np.uint8))
    kinds: dict[str, tuple[str, dict[str, bool]]] = {
        "JPEG": ("JPEG", {}),
        "JPEG, progressive": ("JPEG", {"progressive": True}),
        "PNG": ("PNG", {}),
    }
    done = {}
    for kind, (form, options) in kinds.items():
        stream = io.BytesIO()
        image.save(stream, form, **options)
        done[kind] = stream.getvalue()
    return done


def pillow_ms(data: bytes) -> float:
    """Return the best milliseconds in which Pillow reads a picture."""
    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def time_pictures(folder: Path) -> None:
    """Print a table of the decoder that ships."""
    target = lambda_x86_64()
    shutil.copy(image_object(target, folder / "zig"), folder / "image.o")
    program = compile_c(
        ["-O2", f"-I{RUNTIME}", "image.o", str(RUNTIME / "text.c"), str(PICTURES)],
        "pictures",
        target,
        workdir=folder,
        cache=folder / "zig",
    )
    print("\n| 1024 by 768 pixels | MB | reads ms | Pillow reads ms |\n|---|---|---|---|")
    for kind, data in pictures().items():
        (folder / "picture").write_bytes(data)
        command = [program, "time", "3", folder / "picture", str(ROUNDS)]
        best = min(map(int, subprocess.check_output(command, text=True).split()))
        print(f"| {kind} | {len(data) / 1e6:.2f} | {best / 1e3:.2f} | {pillow_ms(data):.2f} |")


def main() -> None:
    """Compile, time, print tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        target, cache = lambda_x86_64(), folder / "zig"
        objects = compile_server([f"{name}.c" for name in SOURCES], target, cache=cache)
        program = compile_c(
            ["-O2", f"-I{RUNTIME}", *map(str, objects), str(Path(__file__).with_suffix(".c"))],
            "decoding",
            target,
            workdir=folder,
            cache=cache,
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
        time_pictures(folder)


if __name__ == "__main__":
    main()

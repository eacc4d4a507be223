"""What a native package weighs beyond weights and kernels, by target and C library.

    .venv/bin/python benchmarks/package/parts.py [NETWORK ...]

"nothing" is a model that computes nothing: its program is the runtime, and what the C library
puts into a program (musl: all of it that is called). A network adds the tables of its plan.
The decoder is what a program for images has more. model.json, SBOM and provenance lie beside.
"""

from __future__ import annotations

import argparse
import struct
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tvm

from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.build import build_parts
from suture.codegen.document import Identity, model_document
from suture.codegen.link import Parts, link_program
from suture.codegen.phases import Phases
from suture.codegen.specialise import Library
from suture.compiler.target import Target, lambda_arm64, lambda_x86_64
from suture.driver.warming import DOCUMENT, NOTHING

sys.path.insert(0, str(Path(__file__).parents[1] / "networks"))
import catalogue

ROOT = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "suture" / "zig"
NO_BITS, ALLOCATED = 8, 2


def loaded_bytes(path: Path) -> int:
    """Return the bytes of an object file's sections that a program loads (System V ABI)."""
    data = path.read_bytes()
    (start,), (step, count) = (
        struct.unpack_from("<Q", data, 40),
        struct.unpack_from("<HH", data, 58),
    )
    headers = (
        struct.unpack_from("<IIQQQQ", data, start + step * index) for index in range(count)
    )
    return sum(
        size for _, kind, flags, _, _, size in headers if kind != NO_BITS and flags & ALLOCATED
    )


def nothing(target: Target, folder: Path) -> tuple[Parts, dict[str, Any], int]:
    """Return the parts of no model, its document and the bytes of its weights and kernels."""
    library = Library(kernels=tvm.IRModule(), plans=(NOTHING,))
    inputs = [{"name": "x", "datatype": "UINT8", "shape": [-1, -1, 3]}]
    parts = build_parts(library, target, workdir=folder, phases=Phases())
    return parts, {**DOCUMENT, "inputs": inputs}, 0


def network(name: str, target: Target, folder: Path) -> tuple[Parts, dict[str, Any], int]:
    """Return the parts of a network, its document and the bytes of its weights and kernels."""
    model = catalogue.build(name, ROOT.parent / "face-slim-320.onnx")
    shapes = {
        str(value.name): tuple(map(int, value.shape or ())) for value in model.graph.inputs
    }
    compiled = TvmBackend(CACHE).compile(model.clone(), target, folder)
    identity = Identity(name=name, version="0")
    document = model_document(compiled, model, identity, target, examples=shapes)
    objects = compiled.parts.folder.glob("kernels*.o")
    return compiled.parts, document, compiled.weight_bytes + sum(map(loaded_bytes, objects))


def program_bytes(
    parts: Parts, document: Mapping[str, Any], target: Target, *, static: bool
) -> tuple[int, int]:
    """Return the bytes of a program for tensors, and of one for images."""
    images = (None, {"input": document["inputs"][0]["name"], "mode": "RGB"})
    plain, image = (
        link_program(parts, {**document, "image": each}, target, cache=CACHE, static=static)
        .stat()
        .st_size
        for each in images
    )
    return plain, image


def main() -> None:
    """Link and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/package/parts.py")
    parser.add_argument("networks", nargs="*")
    columns = ("model", "target", "C library", "runtime and plan", "decoder", "both")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for name in ("nothing", *parser.parse_args().networks):
        for target in (lambda_x86_64(), lambda_arm64()):
            with tempfile.TemporaryDirectory() as folder:
                made = (
                    nothing(target, Path(folder))
                    if name == "nothing"
                    else network(name, target, Path(folder))
                )
                parts, document, apart = made
                for static in (False, True):
                    sizes = program_bytes(parts, document, target, static=static)
                    plain, image = (size - apart for size in sizes)
                    library = "musl, in it" if static else "glibc"
                    print(
                        f"| {name} | {target.name} | {library} "
                        f"| {plain:,} | {image - plain:,} | {image:,} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()

"""What a native package weighs beyond weights and kernels, by target and C library.

    .venv/bin/python benchmarks/package/parts.py

The program is that of a model that computes nothing: runtime, and what the C library puts into
a program (musl: all of it that is called). The decoder of images is what a program for images
has more. A model adds the tables of its plan; model.json, SBOM and provenance lie beside.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import tvm

from suture.codegen.build import build_parts
from suture.codegen.link import link_program
from suture.codegen.phases import Phases
from suture.codegen.specialise import Library
from suture.compiler.target import Target, lambda_arm64, lambda_x86_64
from suture.driver.warming import DOCUMENT, NOTHING

IMAGES = (None, {"input": "x", "mode": "RGB"})


def program_bytes(target: Target, cache: Path, *, static: bool) -> list[int]:
    """Return the bytes of a program for tensors, and of one for images."""
    library = Library(kernels=tvm.IRModule(), plans=(NOTHING,))
    inputs = [{"name": "x", "datatype": "UINT8", "shape": [-1, -1, 3]}]
    with tempfile.TemporaryDirectory() as name:
        parts = build_parts(library, target, workdir=Path(name), phases=Phases())
        return [
            link_program(
                parts,
                {**DOCUMENT, "inputs": inputs, "image": image},
                target,
                cache=cache,
                static=static,
            )
            .stat()
            .st_size
            for image in IMAGES
        ]


def main() -> None:
    """Link and print a Markdown table."""
    cache = Path.home() / ".cache" / "suture" / "zig"
    print("| target | C library | runtime | decoder | both |\n|---|---|---|---|---|")
    for target in (lambda_x86_64(), lambda_arm64()):
        for static in (False, True):
            plain, image = program_bytes(target, cache, static=static)
            library = "musl, in it" if static else "glibc"
            print(f"| {target.name} | {library} | {plain:,} | {image - plain:,} | {image:,} |")


if __name__ == "__main__":
    main()

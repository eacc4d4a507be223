"""The C runtime over an engine that echoes, and PNG files of every kind."""

import contextlib
import shutil
import struct
import subprocess
import zlib
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
DECODING = tuple(
    RUNTIME / f"{name}.c"
    for name in (
        *("answer", "base64", "data", "events", "image_none", "inputs"),
        *("json", "numbers", "protocol", "serve", "text"),
    )
)
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
MODES = {
    "optimised": ("-O2",),
    "sanitized": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


def served_source(model):
    """Return served.c of a model.json."""

    def shape(sizes):
        return f"(const int64_t[]){{{', '.join(map(str, sizes)) or 0}}}"

    def ports(specs):
        rows = (
            f'{{"{spec["name"]}", {spec["datatype"]}, {len(spec["shape"])}, '
            f"{shape(spec['shape'])}}}"
            for spec in specs
        )
        return f"(const struct Port[]){{{', '.join(rows)}}}"

    def sizes(program):
        lists = (
            f"(const int64_t *const[]){{{', '.join(map(shape, program[kind]))}}}"
            for kind in ("inputs", "outputs")
        )
        return f"{{{', '.join(lists)}}}"

    programs = model.get("programs", [])
    table = f"(const struct Sizes[]){{{', '.join(map(sizes, programs))}}}" if programs else "0"
    return f"""#include "served.h"
const struct Served served = {{
  .name = "{model["name"]}", .version = "{model["version"]}", .backend = "tvm",
  .plan = "one", .plan_digest = "two",
  .inputs = {ports(model["inputs"])}, .num_inputs = {len(model["inputs"])},
  .outputs = {ports(model["outputs"])}, .num_outputs = {len(model["outputs"])},
  .programs = {table}, .num_programs = {len(programs)}, .image_input = -1,
}};
"""


class Program:
    """A process of serve_program.c."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, body, *, kind="http", method="POST", path="/", content_type="-", length="-"):
        """Return status, document, bytes behind it, profile and correctness of one answer."""
        head = f"{kind} {method} {path} {content_type} {length} {len(body)}\n".encode()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(head + body)
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        status, _, *sizes = map(int, line.split())
        return (status, *(self.process.stdout.read(size) for size in sizes))

    def close(self):
        """End the process; return its status and what it has to say of memory it lost."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors.decode()


@pytest.fixture(scope="session")
def compiler():
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no gcc or clang here, whose sanitizers this needs")
    return found


@pytest.fixture(scope="session")
def build(compiler, tmp_path_factory):
    """Compile sources, optimised or with sanitizers, to a program."""

    def build(mode, *sources):
        program = tmp_path_factory.mktemp("native") / "program"
        command = [compiler, *WARNINGS, *MODES[mode], "-I", str(RUNTIME), *map(str, sources)]
        subprocess.run([*command, "-pthread", "-o", str(program), "-lm"], check=True)
        return program

    return build


@pytest.fixture(scope="session")
def serve(build, tmp_path_factory):
    """Start the runtime for a model; what is started ends with the tests."""
    started = {}

    def serve(model, mode, engine=(HERE / "echo_engine.c",)):
        key = (repr(model), mode, engine)
        if key not in started:
            served = tmp_path_factory.mktemp("served") / "served.c"
            served.write_text(served_source(model), "utf-8")
            sources = (*DECODING, *engine, HERE / "serve_program.c", served)
            started[key] = Program(build(mode, *sources))
        return started[key]

    yield serve
    ends = [program.close() for program in started.values()]
    assert ends == [(0, "")] * len(ends)


SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
"""First row and column and steps between rows and columns of each pass."""


@pytest.fixture(scope="session")
def png():
    """What writes PNG files, and their parts."""
    return SimpleNamespace(file=png_file, chunk=chunk, header=header)


def chunk(kind, data):
    """Return a chunk with its length and checksum."""
    return (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )


def header(width, height, depth=8, colour=2, interlaced=False):
    """Return the signature and the first chunk."""
    fields = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return SIGNATURE + chunk(b"IHDR", fields)


def png_file(samples, colour, depth, *, interlaced=False, transparent=None, seed=0):
    """Return a file whose rows use all five filters.

    Args:
        samples: ``uint16[height, width, samples]``, each below ``2 ** depth``.
        colour: Colour type.
        depth: Bits of a sample.
        interlaced: Whether it comes in seven passes.
        transparent: What the tRNS chunk holds, if there is one.
        seed: Of the palette and the filters.
    """
    rng = np.random.default_rng(seed)
    height, width = samples.shape[:2]
    parts = [header(width, height, depth, colour, interlaced)]
    if colour == 3:
        parts.append(chunk(b"PLTE", rng.bytes(3 * 2**depth)))
    if transparent is not None:
        parts.append(chunk(b"tRNS", transparent))
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        _filtered(samples[top::down, left::right], depth, rng)
        for top, left, down, right in passes
    )
    packed = zlib.compress(rows)
    half = len(packed) // 2
    parts += [
        chunk(b"IDAT", packed[:half]),
        chunk(b"IDAT", packed[half:]),
        chunk(b"IEND", b""),
    ]
    return b"".join(parts)


def _filtered(samples, depth, rng):
    """Return the rows of a pass, each after the number of its filter."""
    height, width = samples.shape[:2]
    if not height or not width:
        return b""
    flat = samples.reshape(height, -1)
    if depth == 16:
        rows = flat.astype(">u2").view(np.uint8)
    else:
        bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
        rows = np.packbits(bits.reshape(height, -1), axis=-1)
    step = max(1, samples.shape[2] * depth // 8)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]]).astype(int)
    left = np.pad(rows, ((0, 0), (step, 0)))[:, : rows.shape[1]].astype(int)
    corner = np.pad(above, ((0, 0), (step, 0)))[:, : rows.shape[1]]
    guess = left + above - corner
    distances = np.abs(np.stack([guess - left, guess - above, guess - corner]))
    paeth = np.choose(distances.argmin(0), [left, above, corner])
    guesses = (np.zeros_like(left), left, above, (left + above) // 2, paeth)
    chosen = rng.integers(0, 5, height)
    return b"".join(
        bytes([number]) + ((rows[y] - guesses[number][y]) % 256).astype(np.uint8).tobytes()
        for y, number in enumerate(chosen)
    )

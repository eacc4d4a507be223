"""The C runtime over an engine that echoes, and its transports around a model that echoes."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
import zlib
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from suture.codegen.runtime_api import RuntimeApi

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


TRANSPORT = (
    "http",
    "lambda",
    "server",
    "main",
    "stop",
    "telemetry",
    "text",
    "json",
    "numbers",
)
BUILDS = {
    "optimised": ("-O2",),
    "memory": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}
PATIENCE_S = 60


@pytest.fixture(scope="session", params=BUILDS)
def bootstrap(request, tmp_path_factory):
    """The program around echo_model.c."""
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no gcc or clang here, whose sanitizers this needs")
    program = tmp_path_factory.mktemp("bootstrap") / "bootstrap"
    sources = [*(RUNTIME / f"{name}.c" for name in TRANSPORT), HERE / "echo_model.c"]
    subprocess.run(
        [
            *(compiler, *WARNINGS, *BUILDS[request.param], "-I", str(RUNTIME)),
            *(*map(str, sources), "-lm", "-o", str(program)),
        ],
        check=True,
    )
    return program


class Bootstrap:
    """A running bootstrap; what it prints goes to files."""

    def __init__(self, command, folder, environment):
        self._out, self._err = folder / "out", folder / "err"
        with open(self._out, "wb") as out, open(self._err, "wb") as err:
            self.process = subprocess.Popen(
                command,
                env={"PATH": os.defpath, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def errors(self):
        return self._err.read_text("utf-8", errors="replace")

    @property
    def telemetry(self):
        return [json.loads(line) for line in self._out.read_text("utf-8").splitlines()]

    @property
    def port(self):
        for _ in range(PATIENCE_S * 200):
            if found := re.search(r"on port (\d+)", self.errors):
                return int(found[1])
            assert self.process.poll() is None, self.errors
            time.sleep(0.005)
        pytest.fail("the server does not say where it listens")

    @property
    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def wait(self):
        return self.process.wait(timeout=PATIENCE_S)


@pytest.fixture
def start(bootstrap, tmp_path):
    """Start the program, which does not outlive the test."""
    programs = []

    def start(*arguments, **environment):
        folder = tmp_path / str(len(programs))
        folder.mkdir()
        programs.append(Bootstrap([str(bootstrap), *arguments], folder, environment))
        return programs[-1]

    yield start
    for program in programs:
        program.process.kill()
        program.process.wait()
        assert "Sanitizer" not in program.errors
        assert "runtime error" not in program.errors


@pytest.fixture
def server(start):
    """The program as a server."""
    return start("--port", "0")


@pytest.fixture
def api():
    with RuntimeApi(timeout_s=PATIENCE_S) as api:
        yield api


class Peer:
    """One end of a connection, byte by byte."""

    def __init__(self, connection):
        connection.settimeout(PATIENCE_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self.stream = connection.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    def head(self):
        """Read a start line and headers; all is empty where the peer has closed."""
        first = self.stream.readline().decode().removesuffix("\r\n")
        headers = {}
        while line := self.stream.readline().decode().removesuffix("\r\n"):
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return first, headers

    def message(self):
        """Read a message whose body's length is told: start line, headers, body."""
        first, headers = self.head()
        return first, headers, self.stream.read(int(headers.get("content-length", 0)))

    def closed(self):
        """Wait for the peer to close, and say whether it did without another word."""
        try:
            return self.stream.read() == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.stream.close()
        self.socket.close()


@pytest.fixture
def connect():
    """Connect to a port."""
    peers = []

    def connect(port, host="127.0.0.1"):
        peers.append(Peer(socket.create_connection((host, port))))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.close()


class Listener:
    """A port of this test's own."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self._peers = []
        self.port = self._socket.getsockname()[1]

    def accept(self):
        self._peers.append(Peer(self._socket.accept()[0]))
        return self._peers[-1]

    def close(self):
        for peer in self._peers:
            peer.close()
        self._socket.close()


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


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

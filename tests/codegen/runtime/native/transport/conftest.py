"""The runtime's transports around echo_model.c, built with and without sanitizers."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import pytest

from suture.codegen.runtime_api import RuntimeApi

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
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
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
BUILDS = {
    "optimised": ("-O2",),
    "sanitized": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
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


class Program:
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
        programs.append(Program([str(bootstrap), *arguments], folder, environment))
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

"""A native package as an HTTP server: what requests cost beside kernels, and its memory."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MEGABYTE = 10**6
REQUESTS = 200
PATIENCE_S = 10


@contextmanager
def served(folder: Path) -> Iterator[tuple[http.client.HTTPConnection, int, Path]]:
    """Yield a connection to a package's server, its process and the file of its telemetry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.NamedTemporaryFile() as out:
        process = subprocess.Popen(
            [folder / "bootstrap"],
            env={"PORT": str(port), "PATH": os.defpath},
            stdout=out,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield connect(port), process.pid, Path(out.name)
        finally:
            process.terminate()
            process.wait()


def connect(port: int) -> http.client.HTTPConnection:
    """Return a connection as soon as the server listens."""
    end = time.monotonic() + PATIENCE_S
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
        try:
            connection.connect()
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.001)
        else:
            assert connection.sock is not None
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def post(connection: http.client.HTTPConnection, body: bytes, head: int) -> tuple[int, bytes]:
    """Send a request with binary tensors; return status and body."""
    headers = {"inference-header-content-length": str(head)}
    connection.request("POST", "/", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def binary(event: Mapping[str, Any]) -> tuple[bytes, int]:
    """Return a request's body with its tensors behind the document, and that one's length."""
    entries, tail = [], b""
    for entry in event["inputs"]:
        data = base64.b64decode(entry["data"])
        parameters = {"binary_data_size": len(data)}
        kept = {key: entry[key] for key in ("name", "datatype", "shape")}
        entries.append({**kept, "parameters": parameters})
        tail += data
    document = {"inputs": entries, "parameters": {"binary_data_output": True}}
    head = json.dumps(document).encode()
    return head + tail, len(head)


def overhead(folder: Path, event: Mapping[str, Any]) -> str:
    """Return what a warm request takes beside its kernels, as server and client see it."""
    body, head = binary(event)
    spent = []
    with served(folder) as (connection, _, out):
        for _ in range(REQUESTS):
            began = time.perf_counter()
            status, _ = post(connection, body, head)
            spent.append((time.perf_counter() - began) * 1e6)
            assert status == 200, status
        lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    pairs = list(zip(spent, lines, strict=False))[REQUESTS // 10 :]
    inside = statistics.median(line["decode_us"] + line["encode_us"] for _, line in pairs)
    outside = statistics.median(whole - line["run_us"] for whole, line in pairs)
    return (
        f"A warm request of {len(body):,} bytes takes {inside:.0f} µs beside its kernels in "
        f"the server, {outside:.0f} µs by the clock of a client in Python on loopback"
    )


def in_a_row(folder: Path, event: Mapping[str, Any], count: int) -> str:
    """Return what becomes of memory over many requests, padded with blanks to a megabyte."""
    body, head = binary(event)
    blanks = max(0, MEGABYTE - len(body))
    body, head = body[:head] + b" " * blanks + body[head:], head + blanks
    sizes, answers, first = [], 0, b""
    with served(folder) as (connection, process, _):
        for number in range(count):
            status, answer = post(connection, body, head)
            first = first or answer
            answers += status == 200 and answer == first
            if number in (10, count // 2, count - 1):
                told = Path(f"/proc/{process}/status").read_text("utf-8")
                sizes += re.findall(r"^VmRSS:\s+(\d+) kB", told, re.MULTILINE)
    return (
        f"{answers:,} of {count:,} requests of {len(body):,} bytes in a row got the same "
        f"answer; resident after the 10th, half and all: {', '.join(sizes)} kB"
    )

"""Run a package as Lambda does: alone, under a Runtime API."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from suture.codegen.archive import extract
from suture.codegen.launch import Start, launch
from suture.codegen.package import HANDLER
from suture.codegen.runtime_api import Message, RuntimeApi
from suture.errors import InvokeError, Location

POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """What invoking a package gave.

    Attributes:
        output: The first answer.
        ready_ms: From exec to the first poll for work, by cold start.
        cold_ms: From exec to the first answer, by cold start.
        warm_ms: From event to answer, by request after the first.
        max_rss_bytes: Greatest resident memory of any of the processes.
        telemetry: Lines that the function printed.
        emulator: What stood in for the package's processor, None for this machine's own.
    """

    output: Any
    ready_ms: tuple[float, ...]
    cold_ms: tuple[float, ...]
    warm_ms: tuple[float, ...]
    max_rss_bytes: int
    telemetry: tuple[str, ...]
    emulator: str | None


def read_model(package: Path) -> dict[str, Any]:
    """Return a package's model.json.

    Raises:
        PackageError: The file is no zip, or a name in it leaves its folder.
        InvokeError: There is no readable model.json in it.
    """
    with unpacked(package) as folder:
        try:
            document = json.loads((folder / "model.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InvokeError(
                f"it has no readable model.json: {error}",
                at=Location(str(package)),
                hint="give a package that suture compile wrote",
            ) from error
    if not isinstance(document, dict) or not isinstance(document.get("inputs"), list):
        raise InvokeError("its model.json is not one of suture's", at=Location(str(package)))
    return document


@contextmanager
def unpacked(package: Path) -> Iterator[Path]:
    """Yield a folder with a package's files; one that was made here is gone afterwards."""
    if package.is_dir():
        yield package
        return
    with tempfile.TemporaryDirectory(prefix="suture-package-") as name:
        extract(package, Path(name))
        yield Path(name)


def invoke(
    package: Path,
    event: Mapping[str, Any],
    *,
    cold: int = 1,
    warm: int = 10,
    memory_mb: int = 1769,
    timeout_s: float = 30.0,
    handler: str = HANDLER,
) -> Invocation:
    """Start a package in processes of its own and call it.

    Args:
        package: A zip that ``suture compile`` wrote, or a folder with what is in one.
        event: What Lambda would hand it.
        cold: Processes to start, one after the other, at least 1.
        warm: Further requests to the last of them.
        memory_mb: What the function is told of its memory.
        timeout_s: How long each answer may take.
        handler: What Lambda is told to call, ``module.function``.

    Raises:
        PackageError: The package cannot be unpacked.
        InvokeError: The function fails to start, answers with an error, or not in time.
        BackendError: It is for another architecture, and there is no emulator here.
    """
    body = json.dumps(event).encode()
    ready, first, later, peaks, lines = [], [], [], [], []
    output: Any = None
    with unpacked(package) as folder, launch(folder, handler) as start:
        for number in range(cold):
            count = warm if number == cold - 1 else 0
            with _Process(folder, start, memory_mb, timeout_s) as process:
                ready.append(process.ready_ms)
                answer, began, ended = process.call(body)
                first.append(process.since_exec_ms(ended))
                output = answer if output is None else output
                for _ in range(count):
                    _, began, ended = process.call(body)
                    later.append((ended - began) * 1e3)
                peaks.append(process.peak_rss_bytes())
            lines += process.lines
    return Invocation(
        output=output,
        ready_ms=tuple(ready),
        cold_ms=tuple(first),
        warm_ms=tuple(later),
        max_rss_bytes=max(peaks),
        telemetry=tuple(lines),
        emulator=start.emulator,
    )


class _Process:
    """One start of the function."""

    def __init__(self, folder: Path, start: Start, memory_mb: int, timeout_s: float) -> None:
        self._folder = folder
        self._start = start
        self._timeout_s = timeout_s
        self._api = RuntimeApi(timeout_s=timeout_s)
        self._out = tempfile.TemporaryFile()  # noqa: SIM115
        self._environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "TMPDIR": tempfile.gettempdir(),
            "LAMBDA_TASK_ROOT": str(folder),
            "_HANDLER": start.handler,
            "AWS_LAMBDA_FUNCTION_NAME": "suture",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/suture",
            "AWS_LAMBDA_LOG_STREAM_NAME": "local",
            "AWS_REGION": "us-east-1",
        }
        self.lines: list[str] = []
        self.ready_ms = 0.0

    def __enter__(self) -> Self:
        self._api.__enter__()
        self._environment["AWS_LAMBDA_RUNTIME_API"] = self._api.address
        self._began = time.perf_counter()
        self._process = subprocess.Popen(
            self._start.command,
            cwd=self._folder,
            env=self._environment,
            stdout=self._out,
            stderr=subprocess.STDOUT,
        )
        try:
            self.ready_ms = self.since_exec_ms(self._wait("next").at)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop()
        self.lines = [line for line in self._printed().splitlines() if line.startswith("{")]
        self._out.close()

    def since_exec_ms(self, at: float) -> float:
        """Return milliseconds from exec to a time."""
        return (at - self._began) * 1e3

    def call(self, body: bytes) -> tuple[Any, float, float]:
        """Send one event; return its answer, when it went and when the answer came."""
        began = time.perf_counter()
        self._api.send(str(uuid.uuid4()), body)
        answer = self._wait("response")
        self._wait("next")
        try:
            return json.loads(answer.body), began, answer.at
        except ValueError as error:
            raise InvokeError(f"the answer is not JSON: {error}") from error

    def peak_rss_bytes(self) -> int:
        """Return the process's greatest resident memory so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return int(found[1]) * 1024 if found else 0

    def _wait(self, kind: str) -> Message:
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                message = self._api.messages.get(timeout=POLL_S)
            except queue.Empty:
                if self._process.poll() is not None:
                    raise self._failed("the function stopped") from None
                if time.monotonic() > deadline:
                    raise self._failed(f"no {kind} within {self._timeout_s:g} s") from None
                continue
            if message.kind == "error":
                raise self._failed(_reason(message.body))
            if message.kind == kind:
                return message

    def _failed(self, what: str) -> InvokeError:
        printed = self._printed().strip().splitlines()
        tail = "\n  ".join(printed[-5:])
        return InvokeError(
            what + (f"; it printed\n  {tail}" if tail else ""),
            at=Location(self._start.handler),
            hint="suture compile builds the package anew",
        )

    def _printed(self) -> str:
        self._out.seek(0)
        return self._out.read().decode(errors="replace")

    def _stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._api.__exit__(None, None, None)


def _reason(body: bytes) -> str:
    """Return what an error body of the Runtime API says."""
    try:
        document = json.loads(body)
        return f"{document['errorType']}: {document['errorMessage']}"
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:500] or "the function failed"

"""The suite, run batch by batch in processes of their own."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WORKER = Path(__file__).parent / "worker.py"
STEP_SECONDS = 1800.0
"""The longest that a step of one case, or the linking of a batch, may take."""
KINDS = ("simple", "pytorch-converted", "pytorch-operator", "real")
MODES = ("tvm", "ort", "auto", "tvm+exact", "ort+exact", "auto+exact")

PLAIN = "onnxruntime"

Outcomes = dict[str, dict[str, tuple[str, str]]]


class WorkerError(Exception):
    """A worker that crashed or hung, and the case that it was at."""

    def __init__(self, case: str | None, how: str) -> None:
        self.case, self.how = case, how
        super().__init__(f"{how} at {case}")


class Worker:
    """A process that runs batches.

    Args:
        options: What it takes as its argument.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, WORKER, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self.cases: dict[str, str] = self._read(None)["ready"]

    def run(self, names: Sequence[str]) -> Outcomes:
        """Run a batch.

        Raises:
            WorkerError: It crashed, or a step took too long.
        """
        assert self._process.stdin is not None
        print(json.dumps(names), file=self._process.stdin, flush=True)
        case: str | None = None
        while "at" in (message := self._read(case)):
            case = message["at"]
        found: Outcomes = message["outcomes"]
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _read(self, case: str | None) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=STEP_SECONDS)
        except queue.Empty:
            raise WorkerError(case, f"takes longer than {STEP_SECONDS:.0f} s") from None
        if line.endswith("\n"):
            message: dict[str, Any] = json.loads(line)
            return message
        status = self._process.wait()
        raise WorkerError(
            case, signal.Signals(-status).name if status < 0 else f"exit {status}"
        )


@dataclass
class Suite:
    """Runs cases and survives those that crash.

    Attributes:
        cache: Folder for Zig's cache.
        modules: Modules of the node cases; empty for all.
        kinds: Kinds of the cases that are files.
        batch: How many cases are compiled to one library.
    """

    cache: Path
    modules: Collection[str]
    kinds: Collection[str]
    batch: int = 48
    _worker: Worker | None = field(default=None, repr=False)

    def cases(self) -> dict[str, str]:
        """Return the operator of each case, by the case's name."""
        return self._running().cases

    def run(self, names: Sequence[str]) -> Iterator[Outcomes]:
        """Yield the outcomes of one batch after the other; whole networks come one by one."""
        cases = self.cases()
        small = [name for name in names if cases[name] != "real"]
        for start in range(0, len(small), self.batch):
            yield self._run(small[start : start + self.batch])
        for name in names:
            if cases[name] == "real":
                yield self._run([name])

    def _run(self, names: list[str]) -> Outcomes:
        found: Outcomes = {}
        while names:
            try:
                return found | self._running().run(names)
            except WorkerError as died:
                self.close()
                if died.case is None and len(names) > 1:  # in what is done for all at once
                    half = len(names) // 2
                    return found | self._run(names[:half]) | self._run(names[half:])
                at = died.case or names[0]
                found[at] = dict.fromkeys((PLAIN, *MODES), ("wrong", f"crash: {died.how}"))
                names.remove(at)
        return found

    def _running(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(
                {
                    "cache": str(self.cache),
                    "modules": list(self.modules),
                    "kinds": list(self.kinds),
                }
            )
        return self._worker

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

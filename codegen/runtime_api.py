"""Lambda's Runtime API on loopback, for one function process at a time.

Source: docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html.
"""

from __future__ import annotations

import http.server
import json
import queue
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

BASE = "/2018-06-01/runtime"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:suture"


@dataclass(frozen=True)
class Message:
    """What the function process told.

    Attributes:
        kind: ``next``, ``response`` or ``error``.
        at: ``time.perf_counter`` when it arrived.
        body: What it sent.
    """

    kind: str
    at: float
    body: bytes = b""


class RuntimeApi:
    """The server; a context manager. Events go in, messages come out."""

    def __init__(self, *, timeout_s: float) -> None:
        self.messages: queue.Queue[Message] = queue.Queue()
        self._events: queue.Queue[tuple[str, bytes] | None] = queue.Queue()
        self._timeout_s = timeout_s
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """``host:port``, as ``AWS_LAMBDA_RUNTIME_API`` wants it."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def send(self, request_id: str, event: bytes) -> None:
        """Hand an event to the process, now or when it asks."""
        self._events.put((request_id, event))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take_event(self) -> tuple[str, bytes] | None:
        """Wait for an event; None when the server closes."""
        return self._events.get()

    @property
    def deadline_ms(self) -> int:
        """When the next answer is due, in milliseconds of Unix time."""
        return int((time.time() + self._timeout_s) * 1000)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: RuntimeApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in two small packets would wait 40 ms for each other's acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        """Answer ``/invocation/next`` with the next event."""
        api = self.server.api
        if self.path != f"{BASE}/invocation/next":
            self._reply(404, b"{}")
            return
        api.messages.put(Message("next", time.perf_counter()))
        event = api.take_event()
        if event is None:
            self.close_connection = True
            return
        request_id, body = event
        self._reply(
            200,
            body,
            {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(api.deadline_ms),
                "Lambda-Runtime-Invoked-Function-Arn": ARN,
                "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000",
            },
        )

    def do_POST(self) -> None:
        """Take a response or an error."""
        now = time.perf_counter()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = "response" if self.path.endswith("/response") else "error"
        self.server.api.messages.put(Message(kind, now, body))
        self._reply(202, json.dumps({"status": "OK"}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing on stderr."""

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

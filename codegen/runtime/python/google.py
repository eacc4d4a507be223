"""What Google Cloud Functions calls: ``main.answer``, over HTTP."""

import os
import threading

from .handler import Function


def emit(line):
    """Print a line of telemetry now: the platform reads a pipe, and may stop any moment."""
    print(line, flush=True)  # noqa: T201


function = Function(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), emit)
# The server has threads, and the program one set of buffers.
turn = threading.Lock()


def answer(request):
    """Answer a request of Flask's with body, status and headers."""
    body = request.get_data()
    with turn:
        status, headers, content = function.http(
            request.method,
            request.path,
            request.headers,
            body,
            request.headers.get("function-execution-id"),
        )
    return content, status, headers

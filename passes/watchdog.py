"""Stop a pass that does not end, and tell which node it was at."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import onnx_ir as ir


class OverTimeError(BaseException):
    """A pass runs for longer than it may; no ``except Exception`` of its own catches it."""


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise ``OverTimeError`` where what is inside takes longer.

    The alarm is the process's, so there is a limit in its main thread only; and it goes off
    between two steps of Python, not within a library's call.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise OverTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def node_at(error: BaseException) -> str | None:
    """Return the name of the node that an exception's innermost frame was about, or None.

    A frame is about what it calls ``node``, or else the last node among its variables.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        found = {k: v for k, v in frame.f_locals.items() if isinstance(v, ir.Node)}
        if found:
            node = found.get("node") or list(found.values())[-1]
            return node.name or (node.outputs[0].name if node.outputs else node.op_type)
    return None

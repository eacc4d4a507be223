"""Pick the analyser for a kind of data and run it."""

from __future__ import annotations

from suture.compiler.discovery import discover, load
from suture.compiler.profile.base import Analyzer, Array, RequestProfile
from suture.errors import Location, RequestError

GROUP = "suture.analyzers"


def analyze(data: Array, kind: str) -> RequestProfile:
    """Return the profile of one decoded request, by the analyser of its kind."""
    return find_analyzer(kind).analyze(data, kind)


def find_analyzer(kind: str) -> Analyzer:
    """Return the first installed analyser, by name, that accepts a kind of data.

    Raises:
        RequestError: No installed analyser accepts the kind.
    """
    points = discover(GROUP)
    for name in sorted(points):
        analyzer: Analyzer = load(points[name])()
        if analyzer.accepts(kind):
            return analyzer
    raise RequestError(
        f"no analyser accepts {kind}",
        at=Location("task.input.kind", kind),
        hint=f"installed: {', '.join(sorted(points))}",
    )

"""The order of passes: what each declares it comes after, before, or not without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter

from suture.errors import Location, PassError
from suture.passes.base import GraphPass


def name_of(graph_pass: GraphPass) -> str:
    """Return the name of a pass's entry point."""
    return str(graph_pass).partition("{")[0]


def check_order(passes: Sequence[GraphPass]) -> None:
    """Check that a pipeline's passes stand where they declare that they may.

    Where one pass comes before another, something of the first must have run before each
    time the second runs; it may run again later.

    Raises:
        PassError: Names the pass that comes too early, and what has to run before it.
    """
    ran: list[GraphPass] = []
    for graph_pass in passes:
        at = Location("--passes", str(graph_pass))
        for wanted in graph_pass.needs:
            if not _any_named(ran, wanted):
                raise PassError(
                    "it needs what another pass leaves behind",
                    at=at,
                    hint=f"put {wanted} before it",
                )
        for other in passes:
            if goes_before(other, graph_pass) and not _any_named(ran, name_of(other)):
                raise PassError(
                    f"it comes before {name_of(other)}, and must come after it",
                    at=at,
                    hint=f"put {name_of(other)} first",
                )
        ran.append(graph_pass)


def in_order(passes: Iterable[GraphPass]) -> tuple[GraphPass, ...]:
    """Return passes that a pattern selected as they declare, otherwise by name.

    Raises:
        PassError: Some are declared to come before each other.
    """
    named = {name_of(each): each for each in sorted(passes, key=str)}
    sorter = TopologicalSorter(
        {
            name: [other for other, each in named.items() if goes_before(each, graph_pass)]
            for name, graph_pass in named.items()
        }
    )
    try:
        return tuple(named[name] for name in sorter.static_order())
    except CycleError as error:
        around = " before ".join(reversed(error.args[1]))
        raise PassError(
            f"the passes declare an order that goes round in a circle: {around}",
            at=Location("--passes"),
            hint="mend the declarations, or name the passes one by one",
        ) from error


def goes_before(first: GraphPass, second: GraphPass) -> bool:
    """Whether either of two passes declares that the first comes before the second."""
    earlier, later = name_of(first), name_of(second)
    return earlier != later and (
        any(fnmatchcase(earlier, pattern) for pattern in (*second.after, *second.needs))
        or any(fnmatchcase(later, pattern) for pattern in first.before)
    )


def _any_named(passes: Iterable[GraphPass], pattern: str) -> bool:
    return any(fnmatchcase(name_of(each), pattern) for each in passes)

"""Calls that only a branch needs, moved to where the branch is taken.

A program with an ``If`` arrives as one line: the calls of both branches, and a choice between
their results. Here each branch becomes a range of calls that is left out where the other one
is taken; its kernels do not run and its weights are not read.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from suture.codegen.aot import COPY, SKIP_IF, SKIP_UNLESS, Call


@dataclass(frozen=True)
class Result:
    """What a choice takes from one branch.

    Attributes:
        tensor: Its position.
        needs: The statements that make it.
    """

    tensor: int
    needs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Step:
    """A statement of a program in one line.

    Attributes:
        needs: The statements, all of them before it, that make what it reads.
        call: What it does, unless it chooses.
        condition: Position of the truth value that a choice depends on.
        branches: The results of the branch for true and of that for false.
        targets: Positions that the results are copied to.
    """

    needs: tuple[int, ...]
    call: Call | None = None
    condition: int = 0
    branches: tuple[tuple[Result, ...], tuple[Result, ...]] = ((), ())
    targets: tuple[int, ...] = ()


def branch(steps: Sequence[Step], wanted: Iterable[int]) -> tuple[Call, ...]:
    """Return the calls of a program, with those of branches in ranges that can be left out.

    Args:
        steps: The program in one line.
        wanted: The statements that make its outputs.
    """
    return tuple(_level(steps, set(wanted), set()))


def _level(steps: Sequence[Step], wanted: set[int], done: set[int]) -> list[Call]:
    """Return the calls of one branch, given what is done before it.

    What two choices need is done for both beforehand.
    """
    while True:
        here = _reachable(steps, wanted, done)
        takers: dict[int, set[int]] = {}
        for number in here:
            for results in steps[number].branches:
                starts = {need for result in results for need in result.needs}
                for each in _reachable(steps, starts, done | here):
                    takers.setdefault(each, set()).add(number)
        shared = {each for each, by in takers.items() if len(by) > 1}
        if not shared:
            break
        wanted = wanted | shared
    calls: list[Call] = []
    for number in sorted(here):
        step = steps[number]
        if step.call is not None:
            calls.append(step.call)
            continue
        for skip, results in zip((SKIP_UNLESS, SKIP_IF), step.branches, strict=True):
            starts = {need for result in results for need in result.needs}
            body = _level(steps, starts, done | here)
            body += [
                Call(COPY, (result.tensor, target))
                for result, target in zip(results, step.targets, strict=True)
            ]
            calls += [Call(skip, (step.condition,), len(body)), *body]
    return calls


def _reachable(steps: Sequence[Step], starts: Iterable[int], done: set[int]) -> set[int]:
    """Return what statements need, themselves included, but for the branches of choices."""
    found: set[int] = set()
    open_ = [start for start in starts if start not in done]
    while open_:
        number = open_.pop()
        if number not in found:
            found.add(number)
            open_ += [need for need in steps[number].needs if need not in done]
    return found

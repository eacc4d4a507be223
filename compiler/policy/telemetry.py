"""JSON lines of deployed packages to episodes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture.compiler.cost.rows import Episode
from suture.compiler.target import Target
from suture.compiler.task import Objective
from suture.errors import Location, RequestError

Expected = Callable[[str, str], float | None]
"""Plan digest and bucket → the accuracy to expect, or None where that is not known."""


@dataclass(frozen=True)
class Log:
    """What log files held.

    Attributes:
        answers: Telemetry of each answered request, by request id; the first line counts.
        feedback: Request id → whether the answer was right.
        skipped: Lines that are neither.
    """

    answers: Mapping[str, Mapping[str, Any]]
    feedback: Mapping[str, bool]
    skipped: int


def read_logs(paths: Iterable[Path]) -> Log:
    """Read telemetry and feedback, ``{"request_id": …, "correct": true}``, from JSON lines.

    Other lines, as platforms write around ours, are skipped and counted.

    Raises:
        RequestError: A file cannot be read.
    """
    answers: dict[str, Mapping[str, Any]] = {}
    feedback: dict[str, bool] = {}
    skipped = 0
    for path in paths:
        try:
            lines = path.read_text("utf-8", errors="replace").splitlines()
        except OSError as error:
            raise RequestError(
                f"cannot be read: {error.strerror}", at=Location(str(path))
            ) from error
        for text in filter(str.strip, lines):
            line = _parse(text)
            identity = line.get("request_id")
            if not isinstance(identity, str):
                skipped += 1
                continue
            is_feedback = isinstance(line.get("correct"), bool)
            is_answer = line.get("status") == 200 and isinstance(line.get("plan_digest"), str)
            if is_feedback:
                feedback[identity] = line["correct"]
            if is_answer:
                answers.setdefault(identity, line)
            skipped += not (is_feedback or is_answer)
    return Log(answers, feedback, skipped)


def episodes(
    log: Log, objective: Objective, target: Target, expected: Expected
) -> list[Episode]:
    """Return an episode for each answered request whose accuracy is known or expected.

    A line without propensity comes from a package that is called without a policy: its plan
    was certain.
    """
    found = []
    for identity, line in log.answers.items():
        plan, bucket = line["plan_digest"], str(line.get("bucket") or "unknown")
        correct = log.feedback.get(identity)
        accuracy = expected(plan, bucket) if correct is None else float(correct)
        micros = _number(line.get("total_us"))
        if accuracy is None or micros is None or micros < 0:
            continue
        cost = target.usd_per_million(micros / 1e3)
        found.append(
            Episode(
                request_id=identity,
                plan=plan,
                bucket=bucket,
                propensity=_propensity(line.get("propensity")),
                reward=accuracy
                - objective.latency_weight * micros / 1e3
                - objective.cost_weight * cost,
                labelled=correct is not None,
            )
        )
    return found


def _propensity(value: object) -> float:
    chance = _number(value)
    return chance if chance is not None and 0 < chance <= 1 else 1.0


def _number(value: object) -> float | None:
    """Return a finite number of a line, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _parse(text: str) -> Mapping[str, Any]:
    """Return a line's JSON object, or an empty one."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return line if isinstance(line, dict) else {}

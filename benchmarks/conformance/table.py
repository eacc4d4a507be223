"""The suite's outcomes as files: a row for each case, and a page for people."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from suite import MODES, PLAIN, Outcomes

COLUMNS = (PLAIN, *MODES)
FIELDS = ("case", "operator", *COLUMNS, "reason")
STATUSES = ("passed", "rejected", "wrong")
COUNTS = ("mode", *STATUSES, "of what ONNX Runtime passes")
FEWEST_SHOWN = 2
"""Reasons of fewer cases are in the last row of their table."""

Row = Mapping[str, str]
"""One case by ``FIELDS``; the reason is why TVM does not hold it."""


def rows_of(outcomes: Outcomes, operators: Mapping[str, str]) -> dict[str, Row]:
    """Return a row for each case, by name."""
    return {
        name: {
            "case": name,
            "operator": operators[name],
            **{column: found[column][0] for column in COLUMNS},
            "reason": found["tvm"][1],
        }
        for name, found in outcomes.items()
    }


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows, sorted by name."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["case"]))


def read_rows(path: Path) -> dict[str, Row]:
    """Return what ``write_rows`` wrote, by the names of the cases."""
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["case"]: row for row in csv.DictReader(stream)}


def worse(known: Row, found: Row) -> list[str]:
    """Return the modes in which a case fares worse than it did."""
    return [m for m in MODES if STATUSES.index(found[m]) > STATUSES.index(known[m])]


def page(rows: Sequence[Row], versions: str) -> str:
    """Return the page, Markdown."""
    plain = [row for row in rows if row[PLAIN] == "passed"]
    lines = [HEAD.format(versions=versions, cases=len(rows)), *head(COUNTS)]
    for mode in COLUMNS:
        counts = Counter(row[mode] for row in rows)
        cells = " | ".join(str(counts[status]) for status in STATUSES)
        kept = sum(row[mode] == "passed" for row in plain)
        share = f"{kept} of {len(plain)}, {kept / max(1, len(plain)):.1%}"
        lines.append(f"| {mode} | {cells} | {share} |")
    lines += ["", REASONS, "", *head(("cases", "reason", "one of them")), *reasons(plain)]
    missed = [row for row in plain if row["auto"] != "passed"]
    lines += ["", "## What neither holds, and ONNX Runtime by itself passes", ""]
    lines += [f"- `{row['case']}`: {row['reason']}" for row in missed] or ["Nothing."]
    lines += ["", BY_OPERATOR, "", *head(("operator", "ONNX Runtime", "tvm", "auto"))]
    lines += by_operator(plain)
    return "\n".join(lines) + "\n"


def head(columns: Sequence[str]) -> tuple[str, str]:
    """Return the first lines of a table."""
    return f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"


def reasons(rows: Iterable[Row]) -> list[str]:
    """Return rows of the reasons for which TVM rejects cases, the most common first."""
    cases: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["tvm"] == "rejected":
            cases[general(row["reason"])].append(row["case"])
    ranked = sorted(cases.items(), key=lambda item: (-len(item[1]), item[0]))
    shown = [item for item in ranked if len(item[1]) >= FEWEST_SHOWN]
    told = [f"| {len(names)} | {reason} | `{names[0]}` |" for reason, names in shown]
    others = sum(len(names) for _, names in ranked[len(shown) :])
    return [*told, f"| {others} | others, {len(ranked) - len(shown)} reasons | |"]


def general(reason: str) -> str:
    """Return a reason without what differs from case to case."""
    reason = reason.replace("|", "/").replace("cannot be compiled by TVM: ", "")
    reason = re.sub(r"\[[^]]*\]", "[…]", reason)
    return re.sub(r"\b(in|x|v)_?\d+\b|\b\d+(\.\d+)?\b", "…", reason)[:120]


def by_operator(rows: Iterable[Row]) -> list[str]:
    """Return a row for each operator of which TVM passes fewer cases than ONNX Runtime."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        for mode in (PLAIN, "tvm", "auto"):
            counts[row["operator"]][mode] += row[mode] == "passed"
    return [
        f"| {operator} | {each[PLAIN]} | {each['tvm']} | {each['auto']} |"
        for operator, each in sorted(counts.items())
        if each["tvm"] < each[PLAIN]
    ]


HEAD = """\
# Conformance

`onnx.backend.test`, the suite of the onnx package: every case of a node, the simple, the
PyTorch-converted and the light real models. {versions}. {cases} cases;
[conformance.csv](conformance.csv) has one row for each. Written by

```
.venv/bin/python benchmarks/conformance --write
```

`tvm` and `ort` are one backend alone; `auto` ships TVM's program where its answers are ONNX
Runtime's, and ONNX Runtime otherwise. `+exact` is with every exact pass on. `onnxruntime` is
ONNX Runtime by itself, without suture. Rejected is what an error of suture's refuses, with the
reason; a crash, a step of more than half an hour and any other error count as wrong. Answers
are compared by the suite's rules, element by element; what is off by less than 1e-5 of its
tensor's magnitude, or by four roundings of its type, is right as well, in every column.
"""
REASONS = """\
## Why TVM rejects what ONNX Runtime passes

Many cases hand over as an input what models have as a constant: the shape of a Reshape, the
axes of a reduction. TVM's plan is made ahead of time and does not take those."""
BY_OPERATOR = """\
## By operator

Those of which TVM passes fewer cases than ONNX Runtime."""

"""ONNX's own test suite through suture, in every mode.

    nice -n 19 .venv/bin/python benchmarks/conformance [--write] [--only REGEX] [--modules A,B]

Tells which cases fare worse than docs/conformance.csv says; with --write puts their rows
there, batch by batch, and writes docs/conformance.md. The whole suite takes a quarter of an
hour of one core. Cases run in a process of their own: what crashes there is counted, and the
next one goes on.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from suite import KINDS, MODES, Outcomes, Suite
from table import Row, page, read_rows, rows_of, worse, write_rows

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "conformance.csv"
PACKAGES = ("onnx", "onnxruntime", "apache-tvm")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="benchmarks/conformance")
    parser.add_argument("--write", action="store_true", help="put the rows into the table")
    parser.add_argument("--only", default="", help="cases whose names match this")
    parser.add_argument("--modules", default="", help="modules of onnx's node cases")
    parser.add_argument("--kinds", default=",".join(KINDS), help="kinds besides node")
    parser.add_argument("--batch", type=int, default=48, help="cases compiled to one library")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "suture")
    return parser.parse_args()


def main() -> None:
    """Run the suite."""
    options = read_options()
    modules, kinds = (
        [each for each in text.split(",") if each] for text in (options.modules, options.kinds)
    )
    known = read_rows(TABLE) if TABLE.exists() else {}
    suite = Suite(options.cache / "zig", modules, kinds, batch=options.batch)
    operators = suite.cases()
    names = [name for name in operators if re.search(options.only, name)]
    told: Counter[str] = Counter()
    fine = True
    try:
        for outcomes in suite.run(names):
            rows = rows_of(outcomes, operators)
            told.update(row["tvm"] for row in rows.values())
            print(f"{told.total()} of {len(names)}; tvm {dict(told)}", flush=True)
            for line in complaints(known, rows, outcomes):
                print(line, flush=True)
                fine = False
            if options.write:
                known = {**(read_rows(TABLE) if TABLE.exists() else {}), **rows}
                write(known)
    finally:
        suite.close()
    sys.exit(not fine)


def complaints(
    known: Mapping[str, Row], rows: Mapping[str, Row], outcomes: Outcomes
) -> Iterator[str]:
    """Yield a line for each mode in which a case is wrong, or fares worse than it did."""
    for name, row in rows.items():
        fallen = worse(known[name], row) if name in known else []
        for mode in MODES:
            if row[mode] == "wrong" or mode in fallen:
                yield f"{row[mode]}: {name}, {mode}: {outcomes[name][mode][1]}"


def write(rows: Mapping[str, Row]) -> None:
    """Write both files."""
    write_rows(TABLE, rows.values())
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    ordered = [rows[name] for name in sorted(rows)]
    TABLE.with_suffix(".md").write_text(page(ordered, versions), "utf-8")


if __name__ == "__main__":
    main()

"""A process that runs batches of cases, so that what crashes there ends nothing else.

Reads one JSON list of names a line; writes one JSON object a line: ``at`` before each step,
``outcomes`` after each batch.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import warnings
from pathlib import Path

from cases import Case, load_cases
from trial import Batch

from suture.compiler.target import lambda_x86_64


def main() -> None:
    """Serve until standard input ends."""
    reply = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # TVM and LLVM print there
    warnings.simplefilter("ignore")
    options = json.loads(sys.argv[1])
    cases = {c.name: c for c in load_cases(options["modules"], options["kinds"])}

    def say(**message: object) -> None:
        print(json.dumps(message), file=reply)

    def at(case: Case | None) -> None:
        say(at=case.name if case else None)

    say(ready={name: case.operator for name, case in cases.items()})
    for line in sys.stdin:
        batch = [cases[name] for name in json.loads(line)]
        found = Batch(batch, lambda_x86_64(), Path(options["cache"]), at).run()
        say(
            outcomes={
                name: {mode: dataclasses.astuple(each) for mode, each in mine.items()}
                for name, mine in found.items()
            }
        )


if __name__ == "__main__":
    main()

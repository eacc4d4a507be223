"""Run the passes of a build, looked over as the user asks, and say what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.base import GraphPass, PassContext
from suture.passes.failure import FailureFolder
from suture.passes.manager import Observer, PassManager, PassRecord
from suture.passes.observers import (
    DumpingObserver,
    Measure,
    MeasuringObserver,
    VerifyingObserver,
)
from suture.passes.pipeline import parse_pipeline

FAILED = "failed"
"""Folder, beside the packages, of the model before a pass that failed."""


@dataclass(frozen=True, kw_only=True)
class Rewriting:
    """What the user may ask of the passes.

    Attributes:
        passes: In order.
        verify: Whether the answer is looked at after each pass.
        dump: Folder for the model as each pass leaves it; None keeps none.
    """

    passes: tuple[GraphPass, ...] = field(default_factory=lambda: parse_pipeline("exact"))
    verify: bool = True
    dump: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """What passes made of a model.

    Attributes:
        records: What each did.
        measures: What each cost and changed.
        worst_error: Greatest difference any exact pass made, relative to the output, or None
            where it was not looked for.
        exact: Whether it must answer what it answered before: no pass that keeps to an
            accuracy budget, or by the user's word answers less, rewrote it.
    """

    records: tuple[PassRecord, ...]
    measures: tuple[Measure, ...]
    worst_error: float | None
    exact: bool

    def __str__(self) -> str:
        if not self.records:
            return "passes: none"
        first, last = self.records[0], self.records[-1]
        return f"passes: {first.nodes_before} nodes to {last.nodes_after}"


def rewrite(
    model: ir.Model,
    inputs: Arrays,
    how: Rewriting,
    *,
    context: PassContext,
    out: Path | None = None,
) -> Rewritten:
    """Rewrite a model, in place.

    Args:
        model: The linked model.
        inputs: The request that each pass is verified with.
        how: What the user asked for.
        context: What passes may know.
        out: Folder in which the model before a pass that fails is kept; None keeps nothing.

    Raises:
        PassError: A pass breaks the model.
        VerifyError: A pass changes the answer.
    """
    verifier, measurer = VerifyingObserver(inputs), MeasuringObserver()
    observers: list[Observer] = [measurer]
    if how.dump is not None:
        observers.append(DumpingObserver(how.dump))
    if how.verify:
        observers.append(verifier)
    failed = FailureFolder(out / FAILED, inputs) if out is not None else None
    records = PassManager(how.passes, observers, failed).run(model, context)
    return Rewritten(
        records=records,
        measures=tuple(measurer.found),
        worst_error=verifier.worst if how.verify else None,
        exact=all(
            each.exact and not each.narrows
            for each, record in zip(how.passes, records, strict=True)
            if record.made
        ),
    )

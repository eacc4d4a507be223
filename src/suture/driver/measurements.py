"""Measurements of kernels, from choices to records and on to samples to learn from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from suture.codegen.choose.base import Choice
from suture.compiler.cost.evaluate import Sample
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import KernelRecord
from suture.compiler.target import Target


def kernel_records(choices: Iterable[Choice], target: Target) -> list[KernelRecord]:
    """Return what was measured on the way to some choices."""
    return [
        KernelRecord(
            kernel=choice.subject,
            schedule=trial.schedule,
            rank=trial.rank,
            mcpu=target.mcpu,
            facts=trial.facts,
            microseconds=trial.microseconds,
        )
        for choice in choices
        for trial in choice.trials
        if trial.microseconds is not None and trial.facts is not None
    ]


def samples_for(records: Records, target: Target) -> list[Sample]:
    """Return what a cost model of a target may learn from."""
    return samples([record for record in records.kernels() if record.mcpu == target.mcpu])


def samples(records: Sequence[KernelRecord]) -> list[Sample]:
    """Return one sample for each schedule of a kernel: the median of its measurements."""
    groups: dict[tuple[str, str], list[KernelRecord]] = {}
    for record in records:
        groups.setdefault((record.kernel, record.schedule), []).append(record)
    return [
        Sample(
            kernel=kernel,
            facts=group[-1].facts,
            microseconds=float(np.median([record.microseconds for record in group])),
            rank=group[-1].rank,
        )
        for (kernel, _), group in groups.items()
    ]

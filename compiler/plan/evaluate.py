"""Accuracy of plans, measured end to end on a task's evaluation set."""

from __future__ import annotations

import hashlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from suture.compiler.component import Component, Dim, Port
from suture.compiler.evaluation import Evaluation, Hits, Labels, greatest_entry
from suture.compiler.plan.base import INPUT, Plan
from suture.compiler.plan.execute import Executor
from suture.compiler.profile.analyze import find_analyzer
from suture.errors import Location, ManifestError, PlanError

PRIOR = 5.0
"""Samples of the whole set's accuracy that a bucket's is weighed with.

Of 0, 1, 3, 10 and 20, those from 3 to 10 earned most on the unseen halves of the example's
evaluation set (benchmarks/digits.py): fewer believe luck, more hide the specialists.
"""

UNREADABLE = (
    KeyError,
    ValueError,
    TypeError,
    OSError,
    EOFError,
    NotImplementedError,
    MemoryError,
    SyntaxError,
    AttributeError,
    zlib.error,
    zipfile.BadZipFile,
    tokenize.TokenError,
)
"""What NumPy and zipfile raise on damaged archives."""


@dataclass(frozen=True)
class EvaluationSet:
    """Real requests with the answers they should get.

    Attributes:
        inputs: ``(samples, *shape)``.
        labels: ``(samples,)`` class numbers.
        conditions: ``(samples,)`` names of the conditions, or empty names.
        buckets: ``(samples,)`` what the analysers make of each input.
        digest: SHA-256 of the file and the buckets.
    """

    inputs: npt.NDArray[Any]
    labels: Labels
    conditions: npt.NDArray[np.str_]
    buckets: npt.NDArray[np.str_]
    digest: str

    def for_model(self, shape: Sequence[Dim]) -> Evaluation | None:
        """Return the set for a linked model, or None where inputs have another shape."""
        if tuple(self.inputs.shape[1:]) != tuple(shape):
            return None
        return Evaluation(requests=[{INPUT: one} for one in self.inputs], labels=self.labels)


def read_evaluation(path: Path, kind: str) -> EvaluationSet:
    """Return the evaluation set in a ``.npz`` of ``inputs``, ``labels``, ``conditions``.

    Raises:
        ManifestError: The file is missing, lacks an array, or its arrays differ in length.
    """
    at = Location(str(path))
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            inputs, labels = arrays["inputs"], arrays["labels"]
            conditions = arrays.get("conditions", np.full(len(labels), ""))
    except FileNotFoundError:
        raise ManifestError("no such file", at=at) from None
    except UNREADABLE as error:
        raise ManifestError(
            f"not an evaluation set: {error}",
            at=at,
            hint="it is a .npz with arrays inputs, labels and, if wanted, conditions",
        ) from error
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ManifestError(
            f"labels are {labels.dtype}{list(labels.shape)}, not a list of class numbers",
            at=at,
        )
    if not (len(inputs) == len(labels) == len(conditions)) or not len(inputs):
        raise ManifestError(
            f"{len(inputs)} inputs, {len(labels)} labels and {len(conditions)} conditions "
            "do not make a set",
            at=at,
        )
    analyzer = find_analyzer(kind)
    buckets = [analyzer.analyze(sample, kind).bucket for sample in inputs]
    digest = hashlib.sha256(path.read_bytes() + "\n".join(buckets).encode()).hexdigest()
    return EvaluationSet(
        inputs, labels.astype(np.int64), conditions, np.array(buckets), digest
    )


@dataclass(frozen=True)
class Accuracy:
    """How often a plan is right.

    Attributes:
        overall: Fraction over the whole set.
        by_bucket: Bucket → (fraction, number of samples).
        by_condition: Condition → (fraction, number of samples).
        measured: False where the figure is composed from the components' own metrics.
    """

    overall: float
    by_bucket: Mapping[str, tuple[float, int]]
    by_condition: Mapping[str, tuple[float, int]]
    measured: bool = True

    def expect(self, bucket: str | None, prior: float = PRIOR) -> float:
        """Return the accuracy to expect in a bucket, shrunk towards the whole set's.

        The bucket's mean is weighed with ``prior`` samples of the overall mean, so that a
        bucket seen twice does not decide (an m-estimate; Cestnik 1990).
        """
        fraction, count = self.by_bucket.get(bucket or "", (0.0, 0))
        return (fraction * count + self.overall * prior) / (count + prior)


def evaluate(
    plans: Sequence[Plan],
    components: Mapping[str, Component],
    entry: Port,
    data: EvaluationSet,
    *,
    threads: int = 0,
) -> dict[str, Accuracy]:
    """Return the accuracy of each plan by its digest.

    Raises:
        PlanError: The answer's kind has no notion of being right here.
    """
    executor = Executor(components, entry, list(data.inputs), threads)
    return {
        plan.digest: _accuracy(hits(plan, executor.run(plan), data.labels), data)
        for plan in plans
    }


def hits(plan: Plan, outputs: Sequence[npt.NDArray[Any]], labels: Labels) -> Hits:
    """Return for each sample whether the greatest entry of the answer is the label."""
    if any(output.size < 2 for output in outputs):
        raise PlanError(
            "its answer has fewer than two entries, so there is no class to compare",
            at=Location(plan.name),
            hint="drop evaluation from task.toml; accuracy is then composed from metrics",
        )
    return greatest_entry(outputs, labels)


def composed(plan: Plan, components: Mapping[str, Component]) -> Accuracy:
    """Return the product of the components' ``accuracy`` metrics, marked as an estimate."""
    value = 1.0
    for step in plan.steps:
        metrics = () if step.adapter else components[step.ref].metrics
        stated = [metric.value for metric in metrics if metric.name == "accuracy"]
        value *= max(stated, default=1.0)
    return Accuracy(value, {}, {}, measured=False)


def _accuracy(right: Hits, data: EvaluationSet) -> Accuracy:
    def split(names: npt.NDArray[np.str_]) -> dict[str, tuple[float, int]]:
        return {
            str(name): (float(right[names == name].mean()), int((names == name).sum()))
            for name in np.unique(names)
        }

    return Accuracy(float(right.mean()), split(data.buckets), split(data.conditions))

"""Requests with the answers they should get, to measure a model by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.session import open_session
from suture.compiler.verify import Arrays

Hits = npt.NDArray[np.bool_]
Labels = npt.NDArray[np.int64]
Answers = Sequence[npt.NDArray[Any]]


class Metric(Protocol):
    """Says of each answer whether it is right."""

    def __call__(self, answers: Answers, labels: Labels) -> Hits:
        """Return ``(samples,)``."""


def greatest_entry(answers: Answers, labels: Labels) -> Hits:
    """Return for each sample whether the greatest entry of the answer is the label."""
    chosen = np.array([int(answer.argmax()) for answer in answers])
    return np.asarray(chosen == labels)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Labelled requests for a model's inputs.

    Attributes:
        requests: Arrays by input name, a sample each.
        labels: ``(samples,)`` class numbers.
        metric: When an answer, the model's first output, is right.
    """

    requests: Sequence[Arrays]
    labels: Labels
    metric: Metric = greatest_entry

    def __len__(self) -> int:
        return len(self.requests)

    def halves(self, rng: np.random.Generator) -> tuple[Evaluation, Evaluation]:
        """Return two halves without a common sample, drawn at random."""
        order = rng.permutation(len(self))
        middle = (len(self) + 1) // 2
        return self.of(np.sort(order[:middle])), self.of(np.sort(order[middle:]))

    def of(self, chosen: npt.NDArray[np.int64]) -> Evaluation:
        """Return the chosen samples."""
        requests = [self.requests[index] for index in chosen]
        return replace(self, requests=requests, labels=self.labels[chosen])

    def hits(self, model: ir.Model, *, optimize: bool = True) -> Hits:
        """Return for each sample whether ONNX Runtime's answer is right.

        Args:
            model: The model.
            optimize: Whether ONNX Runtime may rewrite the graph.

        Raises:
            BackendError: ONNX Runtime does not take the model.
        """
        session = open_session(model, optimize=optimize)
        first = [session.get_outputs()[0].name]
        answers = [session.run(first, dict(request))[0] for request in self.requests]
        return self.metric(answers, self.labels)

"""What a plan costs to run: latency, memory, cold start, dollars."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.cost.base import Work
from suture.compiler.inspect import elements, node_flops, peak_activation_bytes
from suture.compiler.plan.base import Plan
from suture.compiler.plan.evaluate import Accuracy
from suture.compiler.session import open_session
from suture.compiler.target import Target

INTERPRETER_BYTES = 36 * 2**20
"""Resident memory of Python with an empty handler, as measured on CPython 3.11."""

START_MS = 40.0
"""From exec to ready of an empty Python handler; loading is added by size."""

LOAD_MS_PER_MB = 0.4
"""Reading weights with a cold page cache, at the 2.5 GB/s that we measured on local disk."""


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Times of one plan, from interleaved rounds; see ``measure_latency``."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """One plan and what it is expected to do for the requests at hand.

    Attributes:
        plan: The plan.
        accuracy: Expected fraction of right answers.
        measured: Whether that is measured end to end rather than composed.
        latency_ms: Median time of one warm request, kernels only.
        latency_p95_ms: 95th percentile of the same.
        peak_bytes: Resident memory: interpreter, weights and live activations.
        weight_bytes: Bytes of the constants, the greater part of the package.
        cold_start_ms: From exec to ready, by formula.
        usd_per_million: Price of a million warm requests.
    """

    plan: Plan
    accuracy: float
    measured: bool
    latency_ms: float
    latency_p95_ms: float
    peak_bytes: int
    weight_bytes: int
    cold_start_ms: float
    usd_per_million: float
    by_condition: Mapping[str, tuple[float, int]]


def measure_latency(
    models: Mapping[str, ir.Model],
    sample: Mapping[str, npt.NDArray[Any]],
    *,
    rounds: int = 15,
    threads: int = 1,
) -> dict[str, Latency]:
    """Return the latency of each model in ONNX Runtime, all measured in turn.

    Each round runs every model once, so that a disturbance of the machine meets all of them.
    """
    sessions = {key: open_session(model, threads=threads) for key, model in models.items()}
    times: dict[str, list[float]] = {key: [] for key in models}
    for turn in range(rounds + 2):
        for key, session in sessions.items():
            start = time.perf_counter()
            session.run(None, dict(sample))
            if turn >= 2:
                times[key].append((time.perf_counter() - start) * 1e3)
    return {
        key: Latency(
            median_ms=statistics.median(values), p95_ms=float(np.percentile(values, 95))
        )
        for key, values in times.items()
    }


def weight_bytes(model: ir.Model) -> int:
    """Return the bytes of a model's constants."""
    tensors = [value.const_value for value in model.graph.initializers.values()]
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def work(model: ir.Model) -> Work:
    """Return what one run of a model does: what a cost model predicts latency from."""
    nodes = list(model.graph)
    moved = sum(
        elements(value) * (value.dtype.itemsize if value.dtype else 4)
        for node in nodes
        for value in (*node.inputs, *node.outputs)
        if value is not None
    )
    return Work(float(sum(map(node_flops, nodes))), float(moved), float(len(nodes)))


def estimate(
    plan: Plan,
    model: ir.Model,
    latency: Latency,
    accuracy: Accuracy,
    target: Target,
    bucket: str | None,
) -> Estimate:
    """Return what a linked plan is expected to do for requests of one bucket."""
    weights = weight_bytes(model)
    return Estimate(
        plan=plan,
        accuracy=accuracy.expect(bucket) if bucket else accuracy.overall,
        measured=accuracy.measured,
        latency_ms=latency.median_ms,
        latency_p95_ms=latency.p95_ms,
        peak_bytes=INTERPRETER_BYTES + weights + peak_activation_bytes(model),
        weight_bytes=weights,
        cold_start_ms=START_MS + LOAD_MS_PER_MB * weights / 2**20,
        usd_per_million=target.usd_per_million(latency.median_ms),
        by_condition=accuracy.by_condition,
    )

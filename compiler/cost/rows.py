"""What is measured: one row for each latency, kernel and answered request."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from suture.compiler.cost.base import Work
from suture.compiler.cost.features import Facts


def machine() -> str:
    """Return the processor and the number of cores that measurements here come from."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        name = f"{models[0]} x{len(models)}" if models else name
    return name


def versions() -> str:
    """Return the versions that a measurement may depend on."""
    names = ("suture", "onnxruntime", "apache-tvm")
    return " ".join(f"{name}={version(name)}" for name in names)


@dataclass(frozen=True, kw_only=True)
class LatencyRecord:
    """One program's time.

    Attributes:
        subject: Digest of the plan or model.
        backend: ``tvm`` or ``ort``.
        target: The target's name.
        threads: Threads it ran with.
        work: What one run does.
        median_ms: Median of the timed rounds.
        p95_ms: 95th percentile of the same.
        machine: Where it ran.
        versions: What it ran with.
    """

    subject: str
    backend: str
    target: str
    threads: int
    work: Work
    median_ms: float
    p95_ms: float
    machine: str = field(default_factory=machine)
    versions: str = field(default_factory=versions)


@dataclass(frozen=True, kw_only=True)
class KernelRecord:
    """One kernel's time under one schedule.

    Attributes:
        kernel: What it computes, as text; the same for all its schedules.
        schedule: The schedule as a spec.
        rank: Place of the schedule in the rule's own order, from 0.
        mcpu: The processor that the code is for, in LLVM's terms.
        facts: What a cost model may know of it.
        microseconds: What a run takes, the second least of some.
        threads: Threads it ran with.
        machine: Where it ran.
        versions: What it ran with.
    """

    kernel: str
    schedule: str
    rank: int
    mcpu: str
    facts: Facts
    microseconds: float
    threads: int = 1
    machine: str = field(default_factory=machine)
    versions: str = field(default_factory=versions)


@dataclass(frozen=True, kw_only=True)
class Episode:
    """One answered request, as a policy learns from it.

    Attributes:
        request_id: The platform's id; an id counts once.
        plan: Digest of the plan that answered.
        bucket: The request's bucket.
        propensity: How likely the policy in force was to pick that plan, 0..1.
        reward: What the answer was worth under the task's objective.
        labelled: Whether the answer was checked; otherwise accuracy is the expected one.
    """

    request_id: str
    plan: str
    bucket: str
    propensity: float
    reward: float
    labelled: bool

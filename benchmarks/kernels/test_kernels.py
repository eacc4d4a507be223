"""The cases as a suite of pytest-benchmark."""

from __future__ import annotations

import pytest
from cases import CASES, Case
from kernels import Kernels
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS, WARMUP = 41, 3
ASCII = str.maketrans({"×": "x", "²": "^2", "→": "-"})


def name(case: Case) -> str:
    """Return a case's name in letters that pytest prints as they are."""
    return str(case).translate(ASCII)


@pytest.mark.parametrize("case", CASES, ids=name)
def test_kernel(case: Case, kernels: Kernels, benchmark: BenchmarkFixture) -> None:
    """Time the kernels of a case."""
    benchmark.pedantic(kernels.run, rounds=ROUNDS, warmup_rounds=WARMUP)
    benchmark.extra_info["kernels"] = kernels.schedules
    benchmark.extra_info["flops"] = kernels.work.flops
    benchmark.extra_info["bytes"] = kernels.work.read + kernels.work.written

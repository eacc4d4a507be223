"""Kernels for pytest-benchmark, each with a clock that runs in that kernel only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from suture.codegen.measure import pinned
from suture.compiler.target import find_target

sys.path.insert(0, str(Path(__file__).parent))  # what this folder's programs import


@pytest.fixture(scope="session")
def zig_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zig's cache for the whole run."""
    return tmp_path_factory.mktemp("zig")


@pytest.fixture
def kernels(
    request: pytest.FixtureRequest, tmp_path: Path, zig_cache: Path
) -> Iterator[object]:
    """The kernels of the test's case; ``benchmark``, asked for after, takes their clock."""
    from kernels import Kernels

    case = request.getfixturevalue("case")
    with pinned(1):
        made = Kernels(case, find_target("lambda-x86_64"), tmp_path, zig_cache)
        clock = pytest.mark.benchmark(group=case.operator, timer=lambda: made.seconds)
        request.node.add_marker(clock)
        yield made

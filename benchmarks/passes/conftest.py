"""A pipeline for the benchmarks of passes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "networks"))  # where models come from


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a run name its pipeline, so that two runs can be compared."""
    parser.addoption("--passes", default="exact", help="A pipeline's text, name or file.")


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> str:
    """The pipeline of this run."""
    return str(request.config.getoption("--passes"))

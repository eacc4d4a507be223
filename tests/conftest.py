from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def digits():
    """The folder of the example that ships with the project."""
    return ROOT / "examples" / "digits"


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder for the whole run: accuracy is measured once, Zig is warmed once."""
    return tmp_path_factory.mktemp("cache")

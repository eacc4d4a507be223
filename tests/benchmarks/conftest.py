import pytest


@pytest.fixture(autouse=True)
def on_its_own(monkeypatch):
    """No sign to a pytest that a test starts that it were one of several."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)

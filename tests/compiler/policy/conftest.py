import pytest

from suture.compiler.cost.rows import Episode


@pytest.fixture(scope="session")
def episode():
    """Make an answered request."""

    def episode(plan, reward, *, bucket="plain", propensity=1.0, request_id="r"):
        return Episode(
            request_id=request_id,
            plan=plan,
            bucket=bucket,
            propensity=propensity,
            reward=reward,
            labelled=True,
        )

    return episode

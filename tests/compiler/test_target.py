from dataclasses import replace

import pytest

from suture.compiler.target import GROUP, find_target, lambda_arm64, lambda_x86_64
from suture.errors import PluginError


@pytest.mark.parametrize(
    ("memory_mb", "threads"), [(128, 1), (1769, 1), (3537, 1), (3538, 2), (10240, 5)]
)
def test_memory_buys_processors(memory_mb, threads):
    assert lambda_x86_64().with_memory(memory_mb).threads == threads


def test_price_of_a_million_requests():
    """One GiB for one second is the unit of price; a request costs its own fee."""
    target = lambda_x86_64().with_memory(1024)
    assert target.usd_per_million(1000) == pytest.approx(0.2 + 16.6667)
    assert target.with_memory(512).usd_per_million(10) == pytest.approx(0.2 + 0.0833335)
    assert target.usd_per_million(0) == pytest.approx(0.2)


def test_another_memory_size_changes_nothing_else():
    target = lambda_x86_64()
    assert target.with_memory(512) == replace(target, memory_mb=512)


def test_installed_target_is_found():
    assert find_target("lambda-x86_64") == lambda_x86_64()


def test_arm64_costs_a_fifth_less_a_second():
    cheap, dear = (find_target(name) for name in ("lambda-arm64", "lambda-x86_64"))
    assert cheap == lambda_arm64()
    assert cheap.usd_per_gb_second == pytest.approx(0.8 * dear.usd_per_gb_second, rel=1e-4)
    assert cheap.usd_per_request == dear.usd_per_request


def test_avx512_is_there_beside_the_baseline():
    both = find_target("lambda-x86_64-v4")
    assert (*both.also, both.mcpu) == ("x86-64-v4", "x86-64-v3")
    assert replace(both, name="lambda-x86_64", also=()) == lambda_x86_64()


def test_google_bills_tenths_of_a_second():
    """One processor and two GiB for a tenth of a second, and the request's fee."""
    target = find_target("gcf-x86_64")
    assert (target.provider, target.threads) == ("gcf", 1)
    tenth = 0.4 + 0.1 * (24 + 2 * 2.5)
    assert target.usd_per_million(0.3) == pytest.approx(tenth)
    assert target.usd_per_million(100) == pytest.approx(tenth)
    assert target.usd_per_million(101) == pytest.approx(2 * tenth - 0.4)
    assert target.with_threads(2).memory_mb == 4096


def test_which_programs_run_here(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert lambda_arm64().runs_here
    assert not lambda_x86_64().runs_here


def test_unknown_target_lists_what_there_is():
    with pytest.raises(PluginError, match="no target 'lambda-z80' is installed") as caught:
        find_target("lambda-z80")
    assert "lambda-x86_64" in caught.value.hint


def test_target_of_another_distribution(install):
    source = (
        "from dataclasses import replace\n"
        "from suture.compiler.target import lambda_x86_64\n"
        "def small():\n"
        "    return replace(lambda_x86_64(), name='small', memory_mb=128)\n"
    )
    install("target_small", GROUP, {"small": "target_small:small"}, source)
    assert find_target("small").memory_mb == 128


def test_plugin_that_makes_something_else(install):
    install("target_odd", GROUP, {"odd": "target_odd:make"}, "def make():\n    return 'odd'\n")
    with pytest.raises(PluginError, match="'odd' of target_odd:make is not a Target"):
        find_target("odd")


def test_plugin_that_is_no_function(install):
    install("target_val", GROUP, {"val": "target_val:X"}, "X = 3\n")
    with pytest.raises(PluginError, match="'val' of target_val:X is not a Target"):
        find_target("val")

import sys
from importlib.metadata import version

import pytest

from suture.compiler.discovery import discover, load, origin
from suture.compiler.policy.fixed import Fixed
from suture.errors import PluginError

GROUP = "suture.made-up"


def test_own_plugins_are_found_and_loaded():
    found = discover("suture.policies")
    assert {"epsilon-greedy", "fixed"} <= set(found)
    assert load(found["fixed"]) is Fixed
    assert origin(found["fixed"]) == f"suture {version('suture')}"


def test_a_group_nobody_provides_is_empty():
    assert discover(GROUP) == {}


def test_plugins_of_others_are_found(install):
    install("plug_one", GROUP, {"mine": "plug_one:ANSWER"}, "ANSWER = 42\n")
    found = discover(GROUP)
    assert list(found) == ["mine"]
    assert load(found["mine"]) == 42
    assert origin(found["mine"]) == "plug_one 1.0"


def test_finding_imports_nothing(install):
    install("plug_raises", GROUP, {"mine": "plug_raises:X"}, "raise SystemExit('imported')\n")
    assert "mine" in discover(GROUP)


def test_a_clash_of_names_is_an_error(install):
    install("plug_two", GROUP, {"same": "plug_two:A"})
    install("plug_three", GROUP, {"same": "plug_three:B"})
    with pytest.raises(PluginError, match="are called 'same'") as caught:
        discover(GROUP)
    assert "plug_two:A" in caught.value.message
    assert "plug_three:B" in caught.value.message
    assert GROUP in caught.value.message
    assert caught.value.hint == "uninstall one of them"


def test_one_plugin_seen_twice_is_no_clash(install):
    """A checkout that is installed in place has its metadata in two places."""
    install("plug_four", GROUP, {"same": "plug_four:A"})
    install("plug_five", GROUP, {"same": "plug_four:A"})
    assert list(discover(GROUP)) == ["same"]


@pytest.mark.parametrize(
    ("value", "source", "why"),
    [
        ("plug_bad:GONE", "", "GONE"),
        ("plug_not_there:X", "", "No module named 'plug_not_there'"),
        ("plug_bad:X", "import plug_bad_dependency\n", "plug_bad_dependency"),
    ],
)
def test_a_plugin_that_does_not_import(install, monkeypatch, value, source, why):
    install("plug_bad", GROUP, {"broken": value}, source)
    monkeypatch.delitem(sys.modules, "plug_bad", raising=False)
    with pytest.raises(PluginError, match="plug-in 'broken'") as caught:
        load(discover(GROUP)["broken"])
    assert value in caught.value.message
    assert why in caught.value.message
    assert "reinstall" in caught.value.hint

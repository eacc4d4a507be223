"""The tutorial: its files are the plug-in's, and its commands print what it shows."""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from suture.cli import main

ROOT = Path(__file__).parent.parent
PLUGIN = ROOT / "tests" / "plugin"
TEXT = (ROOT / "docs" / "writing_a_pass.md").read_text("utf-8")
BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECK = doctest.OutputChecker().check_output
LOOSELY = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder that the plug-in was installed into, as pip installs it."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    pip += ["--no-build-isolation", "--target", folder, PLUGIN]
    subprocess.run(pip, check=True, capture_output=True)
    return folder


@pytest.fixture
def run(site, tmp_path, monkeypatch, capfd):
    """Run a command where the plug-in is installed; returns all that it printed.

    ``suture`` runs in this process, which has imported its compilers already.
    """
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SUTURE_CACHE", str(tmp_path / "cache"))

    def run(command):
        program, *arguments = shlex.split(command)
        capfd.readouterr()
        if program == "suture":
            monkeypatch.setattr("sys.argv", [program, *arguments])
            with pytest.raises(SystemExit):
                main()
        else:
            assert program == "python"
            subprocess.run([sys.executable, *arguments], check=True)
        printed = capfd.readouterr()
        return printed.err + printed.out

    return run


def test_the_plug_in_s_files_are_shown():
    shown = {name: body for _, name, body in BLOCK.findall(TEXT) if name}
    files = [path for path in PLUGIN.rglob("*") if path.suffix in (".py", ".toml")]
    assert len(files) == 4
    for path in files:
        if path.name != "__init__.py":
            name = path.relative_to(PLUGIN).as_posix()
            assert shown.pop(name) == path.read_text("utf-8"), name
    assert set(shown) == {"net.py", "mine.toml", "test_idle_relu.py"}


def test_commands_print_what_is_shown(run, tmp_path):
    ran = 0
    for language, name, body in BLOCK.findall(TEXT):
        if name and "/" not in name and name != "pyproject.toml":
            (tmp_path / name).write_text(body, "utf-8")
        for command, wanted in COMMAND.findall(body) if language == "console" else ():
            if command.startswith("pip install"):
                continue  # done, into a folder of this test's own
            got = run(command)
            assert CHECK(wanted, got, LOOSELY), f"$ {command}\n{got}\ninstead of\n{wanted}"
            ran += 1
    assert ran == 9


def test_what_is_plugged_in_is_listed_with_its_origin(run):
    listed = run("suture plugins")
    for name in ("remove-idle-relu", "example-roofline"):
        (line,) = [line for line in listed.splitlines() if line.startswith(name)]
        assert "suture-example 1.0" in line
    assert "gflops=40.0 gbytes=10.0" in listed


def test_two_of_one_name_are_refused(run, tmp_path, monkeypatch):
    info = tmp_path / "other" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[suture.passes]\nremove-idle-relu = other:Pass\n")
    monkeypatch.syspath_prepend(info.parent)
    told = run("suture passes")
    assert "two plug-ins of suture.passes are called 'remove-idle-relu'" in told
    assert "hint:  uninstall one of them" in told

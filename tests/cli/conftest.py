import json
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from suture.cli import main


@dataclass(frozen=True)
class Done:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def suture(cache, tmp_path, monkeypatch, capsys):
    """Run the command line in an empty folder; wrong input must leave one screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SUTURE_CACHE", str(cache))

    def suture(*arguments, code=0):
        monkeypatch.setattr("sys.argv", ["suture", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err + printed.out
        if code == 2:
            assert printed.out == ""
        return Done(end.value.code, printed.out, printed.err)

    return suture


@pytest.fixture(scope="session")
def compiled_net(cache, net, tmp_path_factory):
    """The small network's package with its report, as the command line writes them."""
    out = tmp_path_factory.mktemp("compiled-net")
    subprocess.run(
        [
            *(sys.executable, "-c", "from suture.cli import main; main()", "compile"),
            *(str(net), "-o", str(out), "--backend", "tvm", "--cache", str(cache)),
        ],
        check=True,
        capture_output=True,
    )
    return out


@pytest.fixture
def package(compiled_net, tmp_path):
    """A copy of that package, to be changed; its report lies beside it."""
    shutil.copytree(compiled_net, tmp_path / "out")
    return tmp_path / "out" / "net-lambda-x86_64.zip"

import json
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

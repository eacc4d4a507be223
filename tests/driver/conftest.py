import pytest

from suture.compiler.cost.records import Records
from suture.compiler.task import read_task
from suture.driver.compiling import compile_task
from suture.driver.options import Options


@pytest.fixture(scope="session")
def records(cache):
    return Records(cache / "records.sqlite")


@pytest.fixture(scope="session")
def options(cache):
    return Options(cache=cache, rounds=5)


@pytest.fixture(scope="session")
def said():
    return []


@pytest.fixture(scope="session")
def compilation(digits, records, options, said, tmp_path_factory):
    """The spoilt digit, compiled; the folder is that of its package."""
    return compile_task(
        read_task(digits / "task.toml"),
        digits / "spoilt.png",
        tmp_path_factory.mktemp("out"),
        options=options,
        records=records,
        say=said.append,
    )

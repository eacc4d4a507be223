import pytest

from suture.errors import Location, ManifestError, PassError
from suture.passes.fuse.constants import FoldConstants
from suture.passes.pipeline import parse_pipeline
from suture.passes.pipeline_file import read_pipeline
from suture.passes.prune.dead_nodes import PruneDeadNodes
from suture.passes.prune.identities import RemoveIdentities


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.toml"):
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


def test_a_table_a_pass_its_options_beside_its_name(write):
    path = write(
        '[[pass]]\nname = "remove-identities"\n'
        "[[pass]]\n# results of up to 4 elements\n"
        'name = "fold-constants"\nlimit = 4\n'
        '[[pass]]\nname = "prune-dead-nodes"\n'
    )
    wanted = (RemoveIdentities(), FoldConstants(limit=4), PruneDeadNodes())
    assert parse_pipeline(str(path)) == wanted
    assert parse_pipeline(f"{path},prune-dead-nodes") == (*wanted, PruneDeadNodes())


def test_names_of_pipelines_patterns_and_what_may_be_missing(write):
    path = write(
        '[[pass]]\nname = "exact"\n[[pass]]\nname = "turn-*?"\nbudget = 0.5\n'
        '[[pass]]\nname = "prune-dead-*"\n'
    )
    assert read_pipeline(path) == "exact,turn-*{budget=0.5}?,prune-dead-*"
    assert parse_pipeline(str(path)) == (*parse_pipeline("exact"), PruneDeadNodes())


def test_options_of_every_type(write):
    path = write('[[pass]]\nname = "x"\nmost_nodes = 3\nby = 1e-3\nhard = true\ntag = "a.b"\n')
    assert read_pipeline(path) == "x{most_nodes=3,by=0.001,hard=true,tag=a.b}"


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "pass", "pass: Field required"),
        ("pass = []", "pass", "pass: Tuple should have at least 1 item"),
        ("[[pass]]\nlimit = 4", "pass.0.name", "pass.0.name: Field required"),
        ('[[passes]]\nname = "x"', "pass", "Field required"),
        ('[[pass]]\nname = "x"\nlist = [1]', "x", "an option is true or false, a number"),
        ('[[pass]]\nname = "x"\ntag = "a,b"', "x", "without braces and commas"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(write, text, where, message):
    path = write(text)
    with pytest.raises(ManifestError) as caught:
        read_pipeline(path)
    assert (caught.value.at.component, caught.value.at.node) == (str(path), where)
    assert message in caught.value.message


def test_a_file_that_is_not_there():
    with pytest.raises(ManifestError, match="no such file"):
        parse_pipeline("none.toml")


def test_a_file_may_lead_to_another_but_not_to_itself(write):
    inner = write('[[pass]]\nname = "prune-dead-nodes"\n', "inner.toml")
    outer = write(f'[[pass]]\nname = "{inner}"\n', "outer.toml")
    assert parse_pipeline(str(outer)) == (PruneDeadNodes(),)
    inner.write_text(f'[[pass]]\nname = "{outer}"\n', "utf-8")
    with pytest.raises(PassError, match="part of itself") as caught:
        parse_pipeline(str(outer))
    assert caught.value.at == Location("--passes", f"{outer} > {inner}")

"""The project as a whole: packaging, documents, entry points."""

import importlib.util
import json
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import jsonschema
import pytest

from suture.cli import COMMANDS, suture
from suture.cli.listing import GROUPS
from suture.codegen.emit.rule import ScheduleRule
from suture.compiler.manifest import read_toml

ROOT = Path(__file__).parent.parent
LAYERS = ("compiler", "passes", "codegen", "templates")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
EXAMPLE = ROOT / "examples" / "digits"


def test_every_package_is_listed():
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    on_disk = {"suture"}
    for folder, prefix in [(ROOT / "src" / "suture", "suture")] + [
        (ROOT / layer, f"suture.{layer}") for layer in LAYERS
    ]:
        for path in folder.rglob("__init__.py"):
            if not any(part.is_symlink() for part in path.parents):
                parts = path.parent.relative_to(folder).parts
                on_disk.add(".".join((prefix, *parts)))
    assert listed == on_disk


@pytest.mark.parametrize("group", sorted(GROUPS.values()))
def test_our_plug_ins_are_installed_and_load(group):
    ours = PROJECT["project"]["entry-points"][group]
    installed = {point.name: point for point in entry_points(group=group)}
    assert {name: installed[name].value for name in ours} == ours
    loaded = [installed[name].load() for name in ours]
    assert all(callable(each) or isinstance(each, ScheduleRule) for each in loaded)


def test_dependencies_are_constrained():
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in lines}
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["dev"]]
    names = {re.split(r"[<>=!~ \[;]", text)[0].lower() for text in wanted}
    assert names <= pinned


@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("component.schema.json", sorted(EXAMPLE.rglob("component.toml"))),
        ("task.schema.json", [EXAMPLE / "task.toml"]),
    ],
)
def test_schemas_are_current_and_hold(schema, paths):
    location = ROOT / "docs" / "schemas.py"
    spec = importlib.util.spec_from_file_location("schemas", location)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    published = (ROOT / "docs" / schema).read_text("utf-8")
    assert published == module.FILES[schema]()
    assert paths
    for path in paths:
        document = json.loads(json.dumps(read_toml(path)))
        jsonschema.validate(document, json.loads(published))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**document, "unknown": 1}, json.loads(published))


def test_every_command_has_help_with_an_example():
    for name, command in _walk(suture, "suture"):
        assert "Example: suture" in (command.help or ""), name


def _walk(group, name):
    yield name, group
    if hasattr(group, "list_commands"):
        for child in group.list_commands(None):
            yield from _walk(group.get_command(None, child), f"{name} {child}")


def test_every_listed_command_is_there():
    assert list(COMMANDS) == suture.list_commands(None)
    assert suture.get_command(None, "nonsense") is None


def test_the_examples_models_are_small():
    sizes = [path.stat().st_size for path in (EXAMPLE / "library").rglob("*.onnx")]
    assert len(sizes) >= 7
    assert sum(sizes) < 2 * 2**20


def test_links_in_documents_lead_somewhere():
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for document in documents:
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text("utf-8")):
            if "://" not in link:
                assert (document.parent / link).exists(), f"{document.name}: {link}"

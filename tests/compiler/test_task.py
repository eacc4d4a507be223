import json
import tomllib

import jsonschema
import pytest
import tomli_w

from suture.compiler.component import Port
from suture.compiler.target import lambda_x86_64
from suture.compiler.task import Limits, Objective, TaskEntry, read_task, task_schema
from suture.errors import ManifestError, PluginError

FULL = """
[task]
name = "digits"
input = { kind = "image/gray", dtype = "uint8", shape = ["h", "w"] }
output = { kind = "class/digit" }
library = "parts"
evaluation = "data/eval.npz"

[objective]
latency_weight = 0.1
cost_weight = 0.0

[limits]
latency_p95_ms = 20
memory_mb = 512
package_mb = 50
min_accuracy = 1.0

[[target]]
name = "lambda-x86_64"
memory_mb = 128

[[target]]
name = "lambda-x86_64"
"""


@pytest.fixture
def document():
    return tomllib.loads(FULL)


@pytest.fixture
def read(tmp_path):
    def read(document):
        path = tmp_path / "task.toml"
        path.write_text(tomli_w.dumps(document), "utf-8")
        return read_task(path)

    return read


def test_every_key_is_read(document, read, tmp_path):
    task = read(document)
    assert (task.name, task.output_kind) == ("digits", "class/digit")
    assert task.path == tmp_path / "task.toml"
    assert task.library == str(tmp_path / "parts")
    assert task.evaluation == tmp_path / "data" / "eval.npz"
    assert task.objective == Objective(latency_weight=0.1, cost_weight=0)
    assert task.limits == Limits(
        latency_p95_ms=20, memory_mb=512, package_mb=50, min_accuracy=1
    )
    assert task.targets == (lambda_x86_64().with_memory(128), lambda_x86_64())


def test_what_is_left_out(document, read):
    head = {key: document["task"][key] for key in ("name", "input", "output", "library")}
    task = read({"task": head})
    assert task.evaluation is None
    assert task.targets == (lambda_x86_64(),)
    assert task.objective == Objective(latency_weight=0.002, cost_weight=0.01)
    assert task.limits == Limits()


def test_a_library_by_url_stays_one(document, read):
    document["task"]["library"] = "s3://bucket/parts"
    assert read(document).library == "s3://bucket/parts"


def test_the_example_reads(digits):
    task = read_task(digits / "task.toml")
    assert task.library == str(digits / "library")
    assert task.evaluation == digits / "eval.npz"


def test_documents_fit_the_published_schema(document):
    schema = json.loads(task_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    document["limits"]["colour"] = 1
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize(
    ("entry", "port"),
    [
        (
            {"kind": "image/gray", "dtype": "uint8", "shape": ["h", "w"]},
            {"layout": "HW", "range": (0.0, 255.0)},
        ),
        (
            {"kind": "image/rgb", "dtype": "uint8", "shape": [8, "w", 3]},
            {"layout": "HWC", "range": (0.0, 255.0)},
        ),
        ({"kind": "image/rgb", "shape": [1, 8, 8, 3]}, {"layout": "NHWC", "range": None}),
        (
            {"kind": "image/rgb", "shape": [1, 3, 8, 8], "layout": "NCHW", "range": [-1, 1]},
            {"layout": "NCHW", "range": (-1.0, 1.0)},
        ),
        ({"kind": "tensor", "dtype": "uint8", "shape": [4, 4]}, {}),
        ({"kind": "text", "dtype": "str", "shape": [1]}, {}),
    ],
)
def test_images_get_their_usual_layout_and_range(document, read, entry, port):
    document["task"]["input"] = entry
    assert read(document).input == Port(
        name="input",
        kind=entry["kind"],
        dtype=entry.get("dtype", "float32"),
        shape=tuple(entry["shape"]),
        **port,
    )


@pytest.mark.parametrize(
    "place", ["", "task", "task.input", "task.output", "limits", "target.0"]
)
def test_an_unknown_key_is_named(document, read, tmp_path, place):
    table = document
    for part in filter(None, place.split(".")):
        table = table[int(part) if part.isdigit() else part]
    table["colour"] = "red"
    key = f"{place}.colour".lstrip(".")
    with pytest.raises(ManifestError, match="unknown key") as caught:
        read(document)
    assert caught.value.message == f"unknown key {key!r}"
    assert str(caught.value.at) == f"{tmp_path / 'task.toml'}/{key}"
    assert "task.schema.json" in caught.value.hint


@pytest.mark.parametrize(
    "key", [name for name, field in TaskEntry.model_fields.items() if field.is_required()]
)
def test_a_missing_key_is_named(document, read, key):
    del document["task"][key]
    with pytest.raises(ManifestError, match="Field required") as caught:
        read(document)
    assert caught.value.at.node == f"task.{key}"


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("task", "name", "My digits"),
        ("task", "name", 5),
        ("task", "input", "image"),
        ("task", "input", {"kind": "tensor", "shape": "any"}),
        ("task", "input", {"kind": "tensor", "shape": [], "range": [0.0]}),
        ("task", "input", {"kind": "image/gray", "dtype": "flaot32", "shape": ["h", "w"]}),
        ("task", "input", {"kind": "image/gray", "dtype": "uint8", "shape": [-1, 2]}),
        ("task", "input", {"kind": "image/gray", "shape": ["h", "w"], "layout": "NHWC"}),
        ("task", "input", {"kind": "Image Gray", "dtype": "uint8", "shape": ["h", "w"]}),
        ("task", "output", {"kind": 3}),
        ("task", "library", 1),
        ("task", "evaluation", False),
        ("objective", "latency_weight", -0.1),
        ("objective", "cost_weight", "cheap"),
        ("limits", "latency_p95_ms", 0),
        ("limits", "memory_mb", -1),
        ("limits", "package_mb", "50 MB"),
        ("limits", "min_accuracy", 1.1),
        ("limits", "min_accuracy", -0.1),
        ("target", "memory_mb", 127),
        ("target", "memory_mb", 10241),
        ("target", "name", ["lambda-x86_64"]),
    ],
)
def test_a_wrong_value_is_named(document, read, table, key, value):
    place = "target.0" if table == "target" else table
    (document["target"][0] if table == "target" else document[table])[key] = value
    with pytest.raises(ManifestError) as caught:
        read(document)
    assert caught.value.at.node.startswith(f"{place}.{key}")
    assert caught.value.message.startswith(f"{place}.{key}")


def test_a_target_that_is_not_installed(document, read):
    document["target"][1]["name"] = "abacus"
    with pytest.raises(PluginError, match="no target 'abacus'"):
        read(document)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(ManifestError, match="no such file") as caught:
        read_task(tmp_path / "task.toml")
    assert caught.value.at.component == str(tmp_path / "task.toml")

import json
import tomllib
from dataclasses import replace

import jsonschema
import numpy as np
import pytest
import tomli_w

from suture.compiler.component import Component, Dependency, Metric, Port, Resources
from suture.compiler.manifest import (
    external_files,
    manifest_schema,
    model_digest,
    parse_dependency,
    read_manifest,
    write_manifest,
)
from suture.errors import ManifestError, ModelError


@pytest.fixture
def full(tmp_path):
    """A component that uses every key."""
    return Component(
        name="digit.net-2_b",
        version="1.2.0rc1",
        provides="classify",
        inputs=(
            Port(
                name="image",
                kind="image/gray",
                dtype="uint8",
                shape=("N", 1, 0, "w"),
                layout="NCHW",
                range=(0.0, 255.0),
            ),
            Port(name="s", kind="tensor", dtype="float32", shape=()),
        ),
        outputs=(Port(name="p", kind="class/digit", dtype="float32", shape=("N", 10)),),
        resources=Resources(params=1, flops=2, peak_bytes=3, devices=("cpu", "gpu")),
        digest="0a" * 32,
        opset=17,
        path=tmp_path / "model.onnx",
        metrics=(Metric("a", "accuracy", 0.25), Metric("b", "f1", 1 / 3)),
        depends=(Dependency("denoise", ">=1.0,<2"), Dependency("deskew")),
        licence="MIT",
        provenance='it said "hello" \\ 你好\n',
    )


@pytest.fixture
def document(full):
    return tomllib.loads(write_manifest(full))


@pytest.fixture
def read(tmp_path):
    def read(document):
        path = tmp_path / "component.toml"
        path.write_text(tomli_w.dumps(document), "utf-8")
        return read_manifest(path)

    return read


def test_a_component_comes_back_as_it_was(full, read, document):
    assert read(document) == full


def test_defaults_come_back_too(component, read):
    plain = component()
    again = read(tomllib.loads(write_manifest(plain)))
    assert replace(again, path=plain.path) == plain
    assert (again.licence, again.metrics, again.depends) == ("unknown", (), ())


def test_equal_components_give_equal_text(full):
    assert write_manifest(full) == write_manifest(replace(full, path=full.path / "else"))


def test_what_is_written_fits_the_published_schema(document):
    schema = json.loads(manifest_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    document["component"]["colour"] = "red"
    with pytest.raises(jsonschema.ValidationError, match="colour"):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (lambda d: d, "colour"),
        (lambda d: d["component"], "component.colour"),
        (lambda d: d["input"][1], "input.1.colour"),
        (lambda d: d["output"][0], "output.0.colour"),
        (lambda d: d["metric"][0], "metric.0.colour"),
        (lambda d: d["resources"], "resources.colour"),
    ],
)
def test_an_unknown_key_is_named(document, read, tmp_path, table, key):
    table(document)["colour"] = "red"
    with pytest.raises(ManifestError, match="unknown key") as caught:
        read(document)
    assert caught.value.message == f"unknown key {key!r}"
    assert str(caught.value.at) == f"{tmp_path / 'component.toml'}/{key}"
    assert "component.schema.json" in caught.value.hint


@pytest.mark.parametrize("key", ["name", "version", "provides", "opset", "sha256"])
def test_a_missing_key_is_named(document, read, key):
    del document["component"][key]
    with pytest.raises(ManifestError, match="Field required") as caught:
        read(document)
    assert caught.value.at.node == f"component.{key}"


@pytest.mark.parametrize("table", ["component", "input", "output", "resources"])
def test_a_missing_table_is_named(document, read, table):
    del document[table]
    with pytest.raises(ManifestError, match="Field required") as caught:
        read(document)
    assert caught.value.at.node == table


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("component", "name", 5),
        ("component", "name", "Net"),
        ("component", "name", "../net"),
        ("component", "name", "n" * 64),
        ("component", "version", "new"),
        ("component", "version", "../1.0"),
        ("component", "provides", "to classify"),
        ("component", "opset", "seventeen"),
        ("component", "opset", 0),
        ("component", "opset", "12"),
        ("component", "opset", True),
        ("component", "opset", 12.0),
        ("component", "sha256", "0A" * 32),
        ("component", "sha256", "0a" * 31),
        ("component", "depends", "denoise"),
        ("component", "depends", ["denoise>=new"]),
        ("component", "licence", ["MIT"]),
        ("resources", "params", -1),
        ("resources", "flops", 1.5),
        ("resources", "devices", [1]),
        ("input.0", "kind", "image/gray/8"),
        ("input.0", "kind", ""),
        ("input.0", "dtype", 32),
        ("input.0", "dtype", "flaot32"),
        ("input.0", "shape", 3),
        ("input.0", "range", [0.0]),
        ("input.0", "range", ["low", "high"]),
        ("input.0", "range", [1.0, 0.0]),
        ("metric.1", "value", "good"),
    ],
)
def test_a_wrong_value_is_named(document, read, table, key, value):
    name, _, index = table.partition(".")
    (document[name][int(index)] if index else document[name])[key] = value
    with pytest.raises(ManifestError) as caught:
        read(document)
    assert caught.value.at.node.startswith(f"{table}.{key}")
    assert caught.value.message.startswith(f"{table}.{key}")


def test_a_layout_of_other_axes(document, read):
    document["input"][0]["layout"] = "HW"
    with pytest.raises(ManifestError, match="'HW' names 2 axes, the shape has 4") as caught:
        read(document)
    assert caught.value.at.node == "input.0"


@pytest.mark.parametrize(
    "change", [{"dtype": "flaot32"}, {"layout": "HW"}, {"range": (1.0, 0.0)}]
)
def test_a_port_that_cannot_be_is_not_written(full, change):
    wrong = replace(full, inputs=(replace(full.inputs[0], **change),))
    with pytest.raises(ManifestError) as caught:
        write_manifest(wrong)
    assert caught.value.at.component == full.ref


def test_no_port_at_all(document, read):
    document["output"] = []
    with pytest.raises(ManifestError, match="at least 1 item") as caught:
        read(document)
    assert caught.value.at.node == "output"


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"[component\n"])
def test_a_file_that_is_not_toml(tmp_path, content):
    (tmp_path / "component.toml").write_bytes(content)
    with pytest.raises(ManifestError, match="not TOML") as caught:
        read_manifest(tmp_path / "component.toml")
    assert caught.value.at.component == str(tmp_path / "component.toml")


@pytest.mark.parametrize("name", ["none.toml", "."])
def test_a_file_that_is_missing(tmp_path, name):
    with pytest.raises(ManifestError, match="no such file"):
        read_manifest(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "name", "versions"),
    [
        ("a", "a", ""),
        ("a-b >= 1.0, <2", "a-b", ">= 1.0, <2"),
        ("a~=1.1", "a", "~=1.1"),
        ("a!=1", "a", "!=1"),
    ],
)
def test_dependencies(text, name, versions):
    assert parse_dependency(text) == Dependency(name, versions)


def test_digest_covers_external_data(write_external, tmp_path):
    path = write_external("w.bin")
    (tmp_path / "w.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    assert [str(file) for file in external_files(path)] == ["w.bin"]
    before = model_digest(path)
    assert model_digest(path) == before
    (tmp_path / "w.bin").write_bytes(np.array([1, 3], np.float32).tobytes())
    assert model_digest(path) != before


def test_digest_of_a_file_that_is_no_model(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="not a readable ONNX file"):
        model_digest(tmp_path / "bad.onnx")

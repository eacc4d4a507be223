from dataclasses import replace

import numpy as np
import pytest

from suture.compiler.component import Dependency, Metric
from suture.compiler.library import LOCK, Library, describe
from suture.compiler.manifest import model_digest, write_manifest
from suture.compiler.session import open_session
from suture.errors import BackendError, LibraryError, ManifestError, ModelError

WIDER = "net (float[N,4] x) => (float[N,9] y) <float[4,9] w> { y = MatMul(x, w) }"


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "library")


def files(library):
    return sorted(
        str(path.relative_to(library.root))
        for path in library.root.rglob("*")
        if path.is_file()
    )


def test_what_is_added_can_be_got_and_run(library, component):
    made = component(provides="project", metrics=(Metric("d", "accuracy", 0.5),))
    added = library.add(made)
    assert added == replace(made, path=library.root / "net" / "1.0.0" / "model.onnx")
    assert library.get("net") == library.get("net@1.0.0") == added
    library.verify(added)
    x = np.ones((2, 4), np.float32)
    first, second = (open_session(c.path).run(None, {"x": x}) for c in (made, added))
    np.testing.assert_array_equal(first, second)


def test_components_come_by_name_and_rising_version(library, component):
    for version in ("1.10.0", "1.9.0", "1.10.0rc1"):
        library.add(component("b", version))
    library.add(component("a"))
    assert [c.ref for c in library] == ["a@1.0.0", "b@1.9.0", "b@1.10.0rc1", "b@1.10.0"]
    assert library.get("b").version == "1.10.0"


def test_unknown_component_lists_what_there_is(library, component):
    with pytest.raises(LibraryError) as caught:
        library.get("net")
    assert caught.value.hint == "it holds nothing"
    library.add(component())
    for ref in ("nets", "net@2.0.0"):
        with pytest.raises(LibraryError, match=f"no component '{ref}'") as caught:
            library.get(ref)
        assert caught.value.at.component == str(library.root)
        assert caught.value.hint == "it holds net@1.0.0"


def test_adding_the_same_again_changes_nothing(library, component):
    added = library.add(component())
    before = {name: (library.root / name).stat().st_mtime_ns for name in files(library)}
    before.pop(LOCK)
    assert library.add(component()) == added
    assert {n: (library.root / n).stat().st_mtime_ns for n in before} == before


@pytest.mark.parametrize("other", [{"text": WIDER}, {"licence": "MIT"}, {"provides": "x"}])
def test_the_same_version_with_other_content_is_refused(library, component, other):
    first = library.add(component())
    with pytest.raises(LibraryError, match=r"net@1\.0\.0 is there already") as caught:
        library.add(component(**other))
    assert "--version" in caught.value.hint
    assert list(library) == [first]
    library.verify(first)


def test_external_data_comes_along(library, write_external, tmp_path):
    (tmp_path / "from" / "data").mkdir(parents=True)
    (tmp_path / "from" / "data" / "w.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    added = library.add(describe(write_external("data/w.bin", "from/m.onnx"), name="ext"))
    (tmp_path / "from" / "data" / "w.bin").unlink()
    library.verify(added)
    (y,) = open_session(added.path).run(None, {"x": np.zeros(2, np.float32)})
    np.testing.assert_array_equal(y, [1, 2])
    (added.path.parent / "data" / "w.bin").write_bytes(bytes(8))
    with pytest.raises(ManifestError, match="SHA-256"):
        library.verify(added)


def test_external_data_that_is_missing(library, external):
    added = library.add(describe(external(), name="ext"))
    (added.path.parent / "w.bin").unlink()
    with pytest.raises(ModelError, match=r"'w\.bin' is missing"):
        library.verify(added)


def test_external_data_that_leaves_its_folder(library, leaving):
    with pytest.raises(ModelError, match="outside the model's folder"):
        library.add(leaving)
    assert files(library) == [LOCK]


@pytest.mark.parametrize(
    ("declared", "key"),
    [
        ({"name": "Bad Name"}, "name"),
        ({"version": "new"}, "version"),
        ({"provides": "to classify"}, "provides"),
    ],
)
def test_names_that_no_manifest_takes(library, component, declared, key):
    with pytest.raises(ManifestError, match=key) as caught:
        library.add(replace(component(), **declared))
    assert caught.value.at.node == key
    assert files(library) == [LOCK]


def test_a_capability_may_contain_dots(library, component):
    added = library.add(component("digit.v2"))
    assert library.get("digit.v2").provides == added.provides == "digit.v2"


def test_remove(library, component):
    one, two = (library.add(component("net", version)) for version in ("1.0", "2.0"))
    assert library.remove("net@1.0") == one
    assert list(library) == [two]
    assert library.remove("net") == two
    assert files(library) == [LOCK]
    assert [path.name for path in library.root.iterdir()] == [LOCK]
    with pytest.raises(LibraryError, match="no component 'net'"):
        library.remove("net")


def test_wrong_digest(library, component):
    added = library.add(component())
    data = added.path.read_bytes()
    added.path.write_bytes(data.replace(b"fc", b"fd"))
    with pytest.raises(ManifestError, match="SHA-256") as caught:
        library.verify(added)
    assert added.digest[:12] in caught.value.message
    assert caught.value.at.component == "net@1.0.0"
    assert "restore the file" in caught.value.hint


def test_missing_model(library, component):
    added = library.add(component())
    added.path.unlink()
    with pytest.raises(ManifestError, match=r"model\.onnx is missing"):
        library.verify(library.get("net"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "z"}, r"input 'z' is x:tensor float32\[N,4\] in the model"),
        ({"dtype": "float16"}, r"in the model, x:tensor float16\[N,4\] in the manifest"),
        ({"shape": ("N", 5)}, r"in the model, x:tensor float32\[N,5\] in the manifest"),
    ],
)
def test_a_manifest_that_promises_other_ports(library, component, change, message):
    made = component()
    wrong = replace(made, inputs=(replace(made.inputs[0], **change),))
    with pytest.raises(ManifestError, match=message) as caught:
        library.verify(library.add(wrong))
    assert caught.value.at.component == "net@1.0.0"


def test_a_manifest_with_too_many_ports(library, component):
    made = component()
    wrong = replace(made, outputs=(*made.outputs, replace(made.outputs[0], name="z")))
    with pytest.raises(ManifestError, match="the model has 1 outputs, the manifest 2"):
        library.verify(library.add(wrong))


def test_a_model_that_does_not_run(library, component, write):
    added = library.add(component())
    bad = write("net (float[N,4] x) => (float[N,3] y) { [odd] y = Bogus(x) }")
    added.path.write_bytes(bad.read_bytes())
    broken = replace(added, digest=model_digest(added.path))
    (added.path.parent / "component.toml").write_text(write_manifest(broken), "utf-8")
    with pytest.raises(BackendError, match="Bogus") as caught:
        library.verify(library.get("net"))
    assert caught.value.at.node == "odd"


def test_a_root_that_is_a_file(tmp_path, component):
    (tmp_path / "file").touch()
    with pytest.raises(LibraryError, match="cannot be written") as caught:
        Library(tmp_path / "file").add(component())
    assert caught.value.at.component == str(tmp_path / "file")


def test_the_example_is_sound(digits):
    library = Library(digits / "library")
    for found in library:
        library.verify(found)
    assert library.get("digit-linear").provides == "classify"


def test_describe(write):
    path = write("net (float[N,4] x) => (float[N,3] y) <float[4,3] w> { y = MatMul(x, w) }")
    made = describe(path, name="net", version="2.0", depends=(Dependency("a", ">=1"),))
    assert (made.ref, made.provides, made.opset, made.path) == ("net@2.0", "net", 18, path)
    assert made.digest == model_digest(path)
    assert [str(port) for port in (*made.inputs, *made.outputs)] == [
        "x:tensor float32[N,4]",
        "y:tensor float32[N,3]",
    ]
    assert (made.resources.params, made.resources.flops) == (12, 24)
    assert made.depends == (Dependency("a", ">=1"),)
    assert describe(path, name="net", provides="project").provides == "project"


def test_describe_refuses_what_does_not_load(write, tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        describe(tmp_path / "none.onnx", name="net")
    clash = write("net (float[3,4] x) => (float[3,3] y) { y = MatMul(x, x) }")
    with pytest.raises(BackendError, match="ONNX Runtime") as caught:
        describe(clash, name="net")
    assert caught.value.at.component == str(clash)

from dataclasses import replace

import fsspec
import pytest

from suture.compiler.library import Library, describe
from suture.compiler.manifest import write_manifest
from suture.compiler.remote import is_url, pull, push
from suture.errors import LibraryError, ManifestError, ModelError

WIDER = "net (float[N,4] x) => (float[N,9] y) <float[4,9] w> { y = MatMul(x, w) }"


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    if request.param == "file":
        yield f"file://{tmp_path / 'remote'}"
        return
    yield f"memory://{tmp_path.name}"
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{tmp_path.name}"):
        memory.rm(f"/{tmp_path.name}", recursive=True)


@pytest.fixture
def here(tmp_path):
    return Library(tmp_path / "here")


@pytest.fixture
def there(tmp_path):
    return Library(tmp_path / "there")


def remote(url):
    filesystem, root = fsspec.core.url_to_fs(url)
    return filesystem, root


def refs(components):
    return [component.ref for component in components]


@pytest.mark.parametrize(
    ("text", "yes"), [("memory://a", True), ("s3://b/c", True), ("library", False)]
)
def test_is_url(text, yes):
    assert is_url(text) is yes


def test_there_and_back(url, here, there, component):
    for name, version in (("a", "1.0.0"), ("a", "1.1.0"), ("b", "1.0.0")):
        here.add(component(name, version))
    assert refs(push(here, url)) == ["a@1.0.0", "a@1.1.0", "b@1.0.0"]
    assert refs(pull(url, there)) == ["a@1.0.0", "a@1.1.0", "b@1.0.0"]
    for mine, copied in zip(here, there, strict=True):
        there.verify(copied)
        assert replace(copied, path=mine.path) == mine
        assert copied.path.is_relative_to(there.root)


def test_only_what_is_missing_travels(url, here, there, component):
    here.add(component("a"))
    push(here, url)
    assert push(here, url) == ()
    pull(url, there)
    assert pull(url, there) == ()
    here.add(component("b"))
    assert refs(push(here, url)) == ["b@1.0.0"]
    assert refs(pull(url, there)) == ["b@1.0.0"]


@pytest.mark.parametrize("location", ["w.bin", "data/w.bin"])
def test_external_data_travels_too(url, here, there, external, location):
    added = here.add(describe(external(location), name="ext"))
    push(here, url)
    (copied,) = pull(url, there)
    data = (added.path.parent / location).read_bytes()
    assert (copied.path.parent / location).read_bytes() == data


def test_external_data_that_leaves_is_not_sent(leaving, tmp_path):
    url = f"file://{tmp_path / 'x' / 'y' / 'remote'}"
    with pytest.raises(ModelError, match="outside the model's folder"):
        push(Library(tmp_path / "leaving"), url)
    assert not list((tmp_path / "x").rglob("secret.bin"))


def test_external_data_that_leaves_is_not_fetched(leaving, there, tmp_path):
    with pytest.raises(ModelError, match="outside the model's folder"):
        pull(f"file://{tmp_path / 'leaving'}", there)
    assert list(there) == []


def test_a_place_that_holds_no_library(url, there):
    with pytest.raises(LibraryError, match="no such library") as caught:
        pull(url, there)
    assert caught.value.at.component == url
    assert "suture library push" in caught.value.hint
    assert list(there) == []


@pytest.mark.parametrize("other", [{"text": WIDER}, {"licence": "MIT"}])
def test_other_content_under_a_version_is_refused(url, here, there, component, other):
    here.add(component())
    push(here, url)
    there.add(component(**other))
    with pytest.raises(LibraryError, match=r"net@1\.0\.0 is there already") as caught:
        push(there, url)
    assert caught.value.at.component == url
    assert "new version" in caught.value.hint
    fresh = Library(there.root.parent / "fresh")
    assert replace(pull(url, fresh)[0], path=None) == replace(here.get("net"), path=None)


def test_what_was_tampered_with_is_refused(url, here, there, component):
    here.add(component())
    push(here, url)
    filesystem, root = remote(url)
    path = f"{root}/net/1.0.0/model.onnx"
    filesystem.pipe_file(path, filesystem.cat_file(path).replace(b"fc", b"fd"))
    with pytest.raises(ManifestError, match="SHA-256") as caught:
        pull(url, there)
    assert caught.value.at.component == "net@1.0.0"
    assert list(there) == []


def test_an_upload_that_stopped_half_way_is_not_seen(url, here, there, component):
    """The manifest is sent last, so a folder without one is nobody's component yet."""
    here.add(component("a"))
    here.add(component("b"))
    push(here, url)
    filesystem, root = remote(url)
    filesystem.rm(f"{root}/a/1.0.0/component.toml")
    assert refs(pull(url, there)) == ["b@1.0.0"]
    assert refs(push(here, url)) == ["a@1.0.0"]
    assert refs(pull(url, there)) == ["a@1.0.0"]


def test_a_model_that_is_missing_there(url, here, there, component):
    here.add(component())
    push(here, url)
    filesystem, root = remote(url)
    filesystem.rm(f"{root}/net/1.0.0/model.onnx")
    with pytest.raises(ManifestError, match=r"model\.onnx is missing"):
        pull(url, there)
    assert list(there) == []


@pytest.mark.parametrize(("key", "value"), [("name", "../../net"), ("version", "../../1.0")])
def test_a_manifest_that_leaves_the_library(url, here, there, component, key, value, tmp_path):
    added = here.add(component())
    push(here, url)
    filesystem, root = remote(url)
    text = write_manifest(added).replace(
        f'{key} = "{getattr(added, key)}"', f'{key} = "{value}"'
    )
    assert value in text
    filesystem.pipe_file(f"{root}/net/1.0.0/component.toml", text.encode())
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ManifestError) as caught:
        pull(url, there)
    assert caught.value.at.node == f"component.{key}"
    assert set(tmp_path.rglob("*")) == before


def test_an_unknown_protocol(here):
    for act in (lambda: push(here, "nope://x"), lambda: pull("nope://x", here)):
        with pytest.raises(
            LibraryError, match="cannot be opened: Protocol not known"
        ) as caught:
            act()
        assert caught.value.at.component == "nope://x"


def test_a_place_that_cannot_be_written(here, component, tmp_path):
    here.add(component())
    (tmp_path / "file").touch()
    url = f"file://{tmp_path / 'file'}"
    with pytest.raises(LibraryError, match="cannot be reached") as caught:
        push(here, url)
    assert caught.value.at.component == url

import json
from importlib.metadata import version

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from suture import __version__
from suture.codegen.package import Package
from suture.codegen.recipe import Recipe, Source
from suture.codegen.sbom import sbom

FILES = {
    "tvm": {"libmodel.so": b"kernels", "model.json": b"{}", "suture_runtime/aot.py": b""},
    "ort": {"libonnxruntime.so.1": b"library", "model.onnx": b"graph", "model.json": b"{}"},
}
PILLOW = {
    "PIL/Image.py": b"",
    "PIL/_imaging.so": b"code",
    "pillow.libs/libjpeg.so.62": b"jpeg",
}
SOURCES = (
    Source(kind="model", name="digits", digest="a" * 64),
    Source(kind="component", name="blur", version="1.0", digest="b" * 64, licence="MIT"),
    Source(kind="component", name="odd", version="2.0", digest="c" * 64, licence="ask Bob"),
    Source(kind="request", name="digit.png", digest="d" * 64),
)
DIGEST = "e" * 64


@pytest.fixture
def made(target):
    def made(files, backend="tvm", sources=SOURCES, runtime="python", form="zip"):
        package = Package(
            name="digits",
            target=target,
            backend=backend,
            runtime=runtime,
            python=None if runtime == "native" else "python3.13",
            files=files,
            form=form,
        )
        recipe = Recipe(version="7", sources=sources)
        return sbom(package, recipe, dict.fromkeys(files, DIGEST))

    return made


def assert_valid(text):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.decode()) is None


def by_ref(text):
    return {each["bom-ref"]: each for each in json.loads(text)["components"]}


@pytest.mark.parametrize("backend", ["tvm", "ort"])
@pytest.mark.parametrize("more", [{}, PILLOW])
def test_valid_by_the_schema(made, backend, more):
    assert_valid(made(FILES[backend] | more, backend))


def test_the_schema_is_checked(made):
    broken = json.loads(made(FILES["tvm"]))
    broken["components"][0]["type"] = "pudding"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(broken))


def test_components_of_a_compiled_plan(made):
    document = made(FILES["tvm"] | PILLOW)
    parts = by_ref(document)
    assert set(parts) == {
        *("model:digits", "component:blur@1.0", "component:odd@2.0"),
        *("kernels", "suture-runtime", "pillow"),
    }
    model = parts["model:digits"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert parts["component:blur@1.0"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert parts["component:odd@2.0"]["licenses"] == [{"license": {"name": "ask Bob"}}]
    assert parts["kernels"]["hashes"][0]["content"] == DIGEST
    assert version("apache-tvm") in parts["kernels"]["description"]
    assert parts["suture-runtime"]["version"] == __version__
    assert parts["pillow"]["purl"] == f"pkg:pypi/pillow@{version('pillow')}"
    libraries = [each["name"] for each in parts["pillow"]["components"]]
    assert libraries == ["PIL/_imaging.so", "pillow.libs/libjpeg.so.62"]


def test_what_needs_what(made):
    wanted = {
        each["ref"]: each.get("dependsOn", [])
        for each in json.loads(made(FILES["tvm"]))["dependencies"]
    }
    assert wanted["package"] == ["kernels", "model:digits", "suture-runtime"]
    assert wanted["model:digits"] == ["component:blur@1.0", "component:odd@2.0"]


def test_onnx_runtime_where_it_ships(made):
    parts = by_ref(made(FILES["ort"], "ort"))
    assert "kernels" not in parts
    assert parts["onnxruntime"]["version"] == version("onnxruntime")
    assert parts["onnxruntime"]["components"][0]["hashes"][0]["content"] == DIGEST


@pytest.mark.parametrize("image", [None, {"input": "x", "mode": "L"}])
def test_a_native_program(made, image):
    document = json.dumps({"image": image}).encode()
    text = made({"bootstrap": b"program", "model.json": document}, runtime="native")
    assert_valid(text)
    parts = by_ref(text)
    assert parts["kernels"]["name"] == "bootstrap"
    assert ("wuffs" in parts) == (image is not None)
    assert image is None or "pywuffs==" in parts["wuffs"]["description"]


def test_the_c_library_of_an_image(made):
    files = {"bootstrap": b"program", "model.json": b"{}"}
    image = made(files, runtime="native", form="oci")
    assert_valid(image)
    assert version("ziglang") in by_ref(image)["musl"]["description"]
    assert "musl" not in by_ref(made(files, runtime="native"))


def test_same_contents_same_bytes(made):
    one = made(FILES["tvm"])
    assert one == made(dict(reversed(FILES["tvm"].items())))
    assert "timestamp" not in json.loads(one)["metadata"]


def test_the_serial_number_follows_the_content(made):
    other = (*SOURCES[1:], Source(kind="model", name="digits", digest="f" * 64))
    texts = [made(FILES["tvm"]), made(FILES["tvm"], sources=other)]
    numbers = {json.loads(text)["serialNumber"] for text in texts}
    assert len(numbers) == 2
    assert all(number.startswith("urn:uuid:") for number in numbers)

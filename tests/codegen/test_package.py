import json
from dataclasses import replace

import pytest

from suture.codegen.document import image_entry
from suture.codegen.package import write_package
from suture.compiler.component import Port
from suture.errors import PackageError


@pytest.fixture(scope="module")
def compiled(conv_model, tvm_backend, target, tmp_path_factory):
    return tvm_backend.compile(conv_model.clone(), target, tmp_path_factory.mktemp("build"))


@pytest.fixture
def package(compiled, conv_model, pack):
    return pack(compiled, conv_model)


def test_files(package):
    assert set(package.files) == {
        "libmodel.so",
        "model.json",
        *(
            f"suture_runtime/{name}.py"
            for name in ("__init__", "aot", "entry", "events", "handler", "protocol")
        ),
        "suture_runtime/telemetry.py",
    }
    assert package.python == "python3.13"


def test_model_json(package):
    document = json.loads(package.files["model.json"])
    assert document["format"] == 1
    assert (document["name"], document["version"], document["backend"]) == ("net", "7", "tvm")
    assert document["inputs"] == [
        {
            "name": "x",
            "datatype": "FP32",
            "shape": [1, 1, 12, 12],
            "example": [1, 1, 12, 12],
            "kind": "tensor",
        }
    ]
    assert [(o["name"], o["shape"]) for o in document["outputs"]] == [
        ("logits", [1, 10]),
        ("p", [1, 8, 6, 6]),
    ]
    assert document["image"] is None
    assert document["plan"] is None


@pytest.mark.parametrize("runtime", ["native", "python"])
def test_built_twice_gives_the_same_bytes(
    compiled, conv_model, tvm_backend, target, pack, runtime, tmp_path
):
    again = tvm_backend.compile(conv_model.clone(), target, tmp_path / "elsewhere")
    second = pack(again, conv_model, runtime=runtime)
    one = write_package(pack(compiled, conv_model, runtime=runtime), tmp_path / "one")
    two = write_package(second, tmp_path / "two")
    assert one.path.read_bytes() == two.path.read_bytes()
    assert one.digest == two.digest
    assert one.nbytes == one.path.stat().st_size
    assert one.path.name == "net-lambda-x86_64.zip"


def test_over_the_platforms_limits(package, tmp_path):
    small = replace(package.target, zip_limit_bytes=1000)
    with pytest.raises(PackageError, match=r"zipped is over.*libmodel\.so") as caught:
        write_package(replace(package, target=small), tmp_path)
    assert "--backend" in caught.value.hint
    small = replace(package.target, unzipped_limit_bytes=1000)
    with pytest.raises(PackageError, match="unzipped is over"):
        write_package(replace(package, target=small), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_which_inputs_take_images():
    port = Port(name="i", kind="image/gray", dtype="uint8", shape=("h", "w"), layout="HW")
    assert image_entry(port) == {"input": "i", "mode": "L"}
    rgb = replace(port, kind="image/rgb", shape=("h", "w", 3), layout="HWC")
    assert image_entry(rgb) == {"input": "i", "mode": "RGB"}
    assert image_entry(replace(port, dtype="float32")) is None
    assert image_entry(replace(port, shape=(1, 1, "h", "w"))) is None
    assert image_entry(None) is None


def test_strings_are_refused(parse, compiled, pack):
    model = parse("g (string[2] x) => (string[2] y) { y = Identity(x) }")
    with pytest.raises(PackageError, match="requests cannot carry") as caught:
        pack(compiled, model)
    assert caught.value.at.value == "x"

"""Container images of the command line, as far as that adds to what codegen does."""

import json
import subprocess

import onnx
import pytest

FILES = {"bootstrap", "model.json", "provenance.json", "sbom.cdx.json"}


def test_a_zip_and_an_image(suture, net, tmp_path):
    done = suture(
        "compile", net, "-o", "out", "--package", "zip", "--package", "oci", "--json"
    )
    archive, image = done.json["packages"]
    assert (archive["package"], image["package"]) == ("zip", "oci")
    assert image["path"] == "out/net-lambda-x86_64.oci.tar"
    assert (image["runtime"], image["backend"]) == ("native", "tvm")
    assert image["bytes"] == (tmp_path / image["path"]).stat().st_size
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("net-lambda-x86_64.oci.tar", "net-lambda-x86_64.zip"),
        *("report.html", "report.json", "serverless.yml"),
    }
    found = suture("explain", image["path"], "--json").json
    assert (found["form"], found["digest"]) == ("oci", image["digest"])
    assert {each["name"] for each in found["files"]} == FILES
    assert "musl" in {each["name"] for each in found["components"]}
    assert found["options"]["package"] == "oci"
    assert found["measured"]["reason"] == done.json["reason"]


def test_only_an_image_the_same_each_time(suture, net, tmp_path):
    digests = set()
    for out in ("one", "two"):
        done = suture("compile", net, "-o", out, "--package", "oci", "--json").json
        (image,) = done["packages"]
        digests.add(image["digest"])
        assert {each["backend"] for each in done["backends"]} == {"tvm"}
        assert {path.name for path in (tmp_path / out).iterdir()} == {
            *("net-lambda-x86_64.oci.tar", "report.html", "report.json"),
        }
    assert len(digests) == 1
    told = suture("compile", net, "-o", "three", "--package", "oci").out
    assert "package  three/net-lambda-x86_64.oci.tar" in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--runtime", "python"), "no Python"),
        (("--backend", "ort"), "ONNX Runtime needs a C library"),
        (("--target", "gcf-x86_64"), "no program of one's own"),
    ],
)
def test_what_images_do_not_go_with(suture, net, tmp_path, options, why):
    done = suture("compile", net, "-o", "out", "--package", "oci", *options, code=2)
    assert why in " ".join(done.err.split())
    assert not (tmp_path / "out").exists()


def test_a_model_that_images_cannot_hold(suture, tmp_path):
    """The zip could be made with ONNX Runtime; what was asked for cannot, and nothing is."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Det", ["x"], ["y"], name="volume")],
        "net",
        [value("x", 1, [2, 2])],
        [value("y", 1, [])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, tmp_path / "det.onnx")
    both = ("--package", "zip", "--package", "oci")
    err = suture("compile", "det.onnx", "-o", "out", *both, code=2).err
    assert "no container image can be made" in err
    assert "'Det'" in err
    assert not (tmp_path / "out").exists()


def test_a_signed_image(suture, net, tmp_path):
    suture("compile", net, "-o", "out", "--package", "oci")
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
    image = tmp_path / "out" / "net-lambda-x86_64.oci.tar"
    signed = suture("sign", image, "--key", key, "--json").json
    assert json.loads((tmp_path / signed["signature"]).read_text("utf-8"))["signatures"]
    assert suture("verify", image, "--key", public, "--json").json["holds"]
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(data)
    told = suture("verify", image, "--key", public, code=1).out
    assert "packed anew" in told

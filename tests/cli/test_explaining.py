import json
import shutil
import subprocess
import zipfile

import pytest

from suture.codegen.archive import write_archive


def test_a_model(suture, package):
    found = suture("explain", package, "--json").json
    assert found["bytes"] == package.stat().st_size
    assert (found["name"], found["backend"], found["form"]) == ("net", "tvm", "zip")
    assert found["runtime"] == "native"
    assert (found["target"], found["plan"]) == ("lambda-x86_64", None)
    assert found["options"]["backend"] == "tvm"
    assert [each["kind"] for each in found["sources"]] == ["model"]
    assert found["sources"][0]["name"] == "net.onnx"
    assert found["passes"][0]["nodes_before"] == 2
    names = {each["name"] for each in found["components"]}
    assert names == {"bootstrap", "net.onnx", "suture-runtime"}
    sizes = [each["bytes"] for each in found["files"]]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == found["unzipped_bytes"]
    assert found["signature"] is None
    report = json.loads((package.parent / "report.json").read_text("utf-8"))
    assert found["measured"]["reason"] == report["reason"]
    told = suture("explain", package).out
    for word in (
        "as asked for",
        "net.onnx",
        "fold-constants",
        "apache-tvm",
        "signature  none",
    ):
        assert word in told


def test_a_report_of_another_build(suture, package, tmp_path):
    alone = tmp_path / "elsewhere" / "net.zip"
    alone.parent.mkdir()
    shutil.copyfile(package, alone)
    assert suture("explain", alone, "--json").json["measured"] is None
    for text in ('{"packages": [{"digest": "0"}]}', "[]", "{"):
        (alone.parent / "report.json").write_text(text, "utf-8")
        assert suture("explain", alone, "--json").json["measured"] is None
    assert "as asked for" not in suture("explain", alone).out


def test_a_signature(suture, package, tmp_path):
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
    signed = suture("sign", package, "--key", key, "--json").json
    found = suture("explain", package, "--json").json["signature"]
    assert found == {"path": signed["signature"], "keys": [signed["key"]]}
    assert f"by key {signed['key']}" in suture("explain", package).out


def test_a_package_that_does_not_tell(suture, package):
    """What was built before packages told is explained as far as it goes."""
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    del files["provenance.json"], files["sbom.cdx.json"]
    write_archive(package, files)
    found = suture("explain", package, "--json").json
    assert found["passes"] is found["components"] is found["sources"] is None
    assert "no provenance" in suture("explain", package).out


@pytest.mark.parametrize(
    "change",
    [
        {"model.json": b"{}"},
        {"provenance.json": b"{}"},
        {"sbom.cdx.json": b'{"components": [1]}'},
        {"model.json": b"["},
    ],
)
def test_documents_of_others(suture, package, change):
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    write_archive(package, files | change)
    assert (
        "suture compile" in suture("explain", package, code=2).err or b"[" in change.values()
    )


def test_bad_input(suture, tmp_path):
    assert "no such file" in suture("explain", "none.zip", code=2).err
    (tmp_path / "text.zip").write_text("no package", "utf-8")
    assert "not a readable package" in suture("explain", "text.zip", code=2).err

import subprocess
import sys
import zipfile

import pytest

from suture.codegen.archive import write_archive


@pytest.fixture
def key(tmp_path):
    """A pair of keys, made as the help says."""
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    for command in (
        ["genpkey", "-algorithm", "ed25519", "-out", private],
        ["pkey", "-in", private, "-pubout", "-out", public],
    ):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    return private, public


def test_sign_and_verify(suture, package, key):
    before = package.read_bytes()
    signed = suture("sign", package, "--key", key[0], "--json").json
    assert signed["signature"] == f"{package}.intoto.jsonl"
    assert package.read_bytes() == before
    verdict = suture("verify", package, "--key", key[1], "--json").json
    assert verdict == {
        "holds": True,
        "signed": True,
        "key": signed["key"],
        "changed": [],
        "missing": [],
        "added": [],
        "repacked": False,
    }
    assert "holds" in suture("verify", package, "--key", key[1]).out


def test_a_changed_file_is_named(suture, package, key):
    suture("sign", package, "--key", key[0])
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    write_archive(package, {**files, "bootstrap": b"evil"})
    told = suture("verify", package, "--key", key[1], code=1).out
    assert "FAILS" in told
    assert "bootstrap was changed" in told
    assert suture("verify", package, "--key", key[1], "--json", code=1).json["changed"] == [
        "bootstrap"
    ]


def test_bad_input(suture, package, key):
    assert "suture sign" in suture("verify", package, "--key", key[1], code=2).err
    assert "openssl genpkey" in suture("sign", package, "--key", "none.pem", code=2).err
    assert "no such file" in suture("sign", "none.zip", "--key", key[0], code=2).err
    assert "--key" in suture("sign", package, code=2).err


def test_without_the_extra(suture, package, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "securesystemslib", None)
    monkeypatch.setitem(sys.modules, "securesystemslib.dsse", None)
    monkeypatch.delitem(sys.modules, "suture.codegen.sign", raising=False)
    monkeypatch.delattr("suture.codegen.sign", raising=False)
    assert "suture[sign]" in suture("sign", package, "--key", key[0], code=2).err

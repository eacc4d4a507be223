import base64
import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from suture.codegen.archive import write_archive
from suture.codegen.contents import read_contents, signature_path
from suture.codegen.package import Package
from suture.codegen.provenance import attested
from suture.codegen.recipe import Recipe
from suture.codegen.sign import sign, verify
from suture.errors import PackageError, SignatureError

ALGORITHMS = {
    "ed25519": ["-algorithm", "ed25519"],
    "ecdsa": ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "rsa": ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
}


def openssl(*arguments, cwd):
    return subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Make a pair of keys the way the help says."""

    def keys(name, algorithm="ed25519"):
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        if not public.exists():
            openssl("genpkey", *ALGORITHMS[algorithm], "-out", private, cwd=folder)
            openssl("pkey", "-in", private, "-pubout", "-out", public, cwd=folder)
        return private, public

    folder = tmp_path_factory.mktemp("keys")
    return keys


FILES = {"libmodel.so": b"kernels", "model.json": b'{"name": "net"}\n'}


@pytest.fixture
def package(target, tmp_path):
    made = attested(
        Package(
            name="net",
            target=target,
            backend="tvm",
            runtime="python",
            python="python3.13",
            files=FILES,
        ),
        Recipe(version="7"),
    )
    path = tmp_path / "net.zip"
    write_archive(path, made.files)
    return path


def rewrite(path: Path, change) -> None:
    """Write an archive anew with other files."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    write_archive(path, files)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_what_is_signed_holds(package, keys, algorithm):
    private, public = keys(algorithm, algorithm)
    path, keyid = sign(package, private)
    assert path == signature_path(package) == package.with_name("net.zip.intoto.jsonl")
    verdict = verify(package, public)
    assert (verdict.holds, verdict.key) == (True, keyid)


def test_under_another_name(package, keys, tmp_path):
    private, public = keys("a")
    path, _ = sign(package, private)
    moved = package.rename(tmp_path / "other.zip")
    assert verify(moved, public, path).holds
    with pytest.raises(SignatureError, match="no readable signature") as caught:
        verify(moved, public)
    assert "suture sign" in caught.value.hint


def test_what_is_signed_is_the_provenance(package, keys):
    """Any tool that reads DSSE and in-toto finds the archive and its files."""
    path, _ = sign(package, keys("a")[0])
    (line,) = path.read_text("utf-8").splitlines()
    envelope = json.loads(line)
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    contents = read_contents(package)
    assert [(each["name"], each["digest"]["sha256"]) for each in statement["subject"]] == [
        ("net.zip", contents.digest),
        *((name, contents.entries[name].digest) for name in sorted(contents.entries)),
    ]


def test_openssl_agrees(package, keys, tmp_path):
    """The signature is over DSSE's encoding, which another program can check."""
    private, public = keys("a")
    path, _ = sign(package, private)
    envelope = json.loads(path.read_text("utf-8"))
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    (tmp_path / "signed").write_bytes(signed)
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    done = openssl(
        *("pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin"),
        *("-in", "signed", "-sigfile", "sig"),
        cwd=tmp_path,
    )
    assert b"Verified" in done.stdout


def test_signing_again_changes_nothing(package, keys):
    private, _ = keys("a")
    path, _ = sign(package, private)
    before, archive = path.read_bytes(), package.read_bytes()
    sign(package, private)
    assert (path.read_bytes(), package.read_bytes()) == (before, archive)
    assert [each.name for each in package.parent.iterdir() if "partial" in each.name] == []


def test_two_owners(package, keys):
    for name in ("a", "b"):
        sign(package, keys(name)[0])
    for name in ("a", "b"):
        assert verify(package, keys(name)[1]).holds
    assert not verify(package, keys("c")[1]).signed


def test_another_key(package, keys):
    sign(package, keys("a")[0])
    verdict = verify(package, keys("b")[1])
    assert (verdict.holds, verdict.signed) == (False, False)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda files: files.update({"libmodel.so": b"evil"}), {"changed": ("libmodel.so",)}),
        (lambda files: files.pop("sbom.cdx.json"), {"missing": ("sbom.cdx.json",)}),
        (lambda files: files.update({"evil.py": b""}), {"added": ("evil.py",)}),
        (lambda files: None, {}),
    ],
)
def test_which_file_differs(package, keys, change, expected):
    private, public = keys("a")
    sign(package, private)
    rewrite(package, change)
    if not expected:
        with zipfile.ZipFile(package, "a") as archive:
            archive.comment = b"packed anew"
    verdict = verify(package, public)
    assert verdict.signed
    assert verdict.repacked
    assert not verdict.holds
    found = {name: getattr(verdict, name) for name in ("changed", "missing", "added")}
    assert found == {"changed": (), "missing": (), "added": ()} | expected


def test_a_changed_statement(package, keys):
    """Whoever rewrites the statement to fit other files has no signature of it."""
    private, public = keys("a")
    path, _ = sign(package, private)
    rewrite(package, lambda files: files.update({"libmodel.so": b"evil"}))
    envelope = json.loads(path.read_text("utf-8"))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    digest = read_contents(package).entries["libmodel.so"].digest
    for subject in statement["subject"]:
        if subject["name"] == "libmodel.so":
            subject["digest"]["sha256"] = digest
    envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(envelope), "utf-8")
    assert not verify(package, public).signed


def test_another_payload_type(package, keys):
    private, public = keys("a")
    path, _ = sign(package, private)
    path.write_text(path.read_text("utf-8").replace("vnd.in-toto+json", "json"), "utf-8")
    assert not verify(package, public).signed


def test_only_what_was_built_is_signed(package, keys):
    rewrite(package, lambda files: files.update({"libmodel.so": b"evil"}))
    with pytest.raises(
        PackageError, match=r"libmodel\.so is not what its provenance"
    ) as caught:
        sign(package, keys("a")[0])
    assert "suture compile" in caught.value.hint
    assert not signature_path(package).exists()


def test_a_package_without_provenance(tmp_path, keys):
    write_archive(tmp_path / "old.zip", FILES)
    with pytest.raises(PackageError, match="no provenance"):
        sign(tmp_path / "old.zip", keys("a")[0])


@pytest.mark.parametrize(
    "provenance",
    [b"{}", b'{"subject": 1}', b'{"subject": [{"name": "x"}]}', b'{"subject": [1]}'],
)
def test_a_provenance_of_another_kind(tmp_path, keys, provenance):
    write_archive(tmp_path / "odd.zip", {**FILES, "provenance.json": provenance})
    with pytest.raises(SignatureError, match="no statement about files"):
        sign(tmp_path / "odd.zip", keys("a")[0])


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"payload": 1}', "\x00", '"x"'])
def test_a_file_that_is_no_signature(package, keys, text):
    signature_path(package).write_text(text, "utf-8")
    with pytest.raises(SignatureError, match="not a DSSE envelope"):
        verify(package, keys("a")[1])


def test_keys_that_are_none(package, keys, tmp_path):
    private, public = keys("a")
    sign(package, private)
    with pytest.raises(SignatureError, match="not a private key") as caught:
        sign(package, public)
    assert "openssl genpkey" in caught.value.hint
    with pytest.raises(SignatureError, match="not a public key") as caught:
        verify(package, private)
    assert "-pubout" in caught.value.hint
    with pytest.raises(SignatureError, match="cannot be read"):
        verify(package, tmp_path / "none.pub")
    encrypted = tmp_path / "encrypted.pem"
    openssl(
        *("pkey", "-in", private, "-aes256", "-passout", "pass:x", "-out", encrypted),
        cwd=tmp_path,
    )
    with pytest.raises(SignatureError, match="encrypted"):
        sign(package, encrypted)

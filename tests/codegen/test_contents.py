import hashlib
import zipfile

import pytest

from suture.codegen.archive import write_archive
from suture.codegen.contents import Entry, read_contents
from suture.errors import PackageError

FILES = {"model.json": b'{"name": "net"}', "libmodel.so": b"kernels" * 1000}


def test_a_zip(tmp_path):
    path = tmp_path / "net.zip"
    digest = write_archive(path, FILES)
    contents = read_contents(path)
    assert (contents.form, contents.digest) == ("zip", digest)
    assert contents.nbytes == path.stat().st_size
    assert contents.unzipped_bytes == sum(map(len, FILES.values()))
    assert contents.entries == {
        name: Entry(len(data), hashlib.sha256(data).hexdigest())
        for name, data in FILES.items()
    }
    assert contents.document("model.json") == {"name": "net"}
    with pytest.raises(PackageError, match=r"no provenance\.json in it"):
        contents.document("provenance.json")


def test_a_name_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("one", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("one", b"2")
    with pytest.raises(PackageError, match="one is in it twice"):
        read_contents(tmp_path / "two.zip")


@pytest.mark.parametrize("data", [b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_a_broken_document(tmp_path, data):
    write_archive(tmp_path / "bad.zip", {"model.json": data})
    with pytest.raises(PackageError, match=r"its model\.json is not"):
        read_contents(tmp_path / "bad.zip")


def test_more_than_is_allowed(tmp_path, monkeypatch):
    write_archive(tmp_path / "big.zip", FILES)
    monkeypatch.setattr("suture.codegen.contents.MAX_UNZIPPED_BYTES", 1000)
    with pytest.raises(PackageError, match="more bytes than allowed"):
        read_contents(tmp_path / "big.zip")


@pytest.mark.parametrize("data", [b"", b"no archive", b"PK\x03\x04" + bytes(40), bytes(2048)])
def test_no_package(tmp_path, data):
    (tmp_path / "bad").write_bytes(data)
    with pytest.raises(PackageError, match="not a readable package"):
        read_contents(tmp_path / "bad")
    with pytest.raises(PackageError, match="no such file"):
        read_contents(tmp_path / "none")


def test_a_folder(tmp_path):
    with pytest.raises(PackageError, match="not a readable package"):
        read_contents(tmp_path)


def test_damage(tmp_path):
    path = tmp_path / "net.zip"
    write_archive(path, FILES)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(PackageError, match="not a readable package"):
        read_contents(path)

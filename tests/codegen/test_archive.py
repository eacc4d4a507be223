import zipfile

import pytest

from suture.codegen.archive import content_size, extract, file_digest, write_archive
from suture.errors import PackageError

FILES = {"b/two.txt": b"two", "a.so.1": b"\x7fELF", "one.txt": b"1" * 5000}


def test_equal_contents_give_equal_bytes(tmp_path):
    digests = {
        write_archive(tmp_path / "x" / "one.zip", FILES),
        write_archive(tmp_path / "y" / "two.zip", dict(reversed(FILES.items()))),
    }
    assert digests == {file_digest(tmp_path / "x" / "one.zip")}
    assert (tmp_path / "x" / "one.zip").read_bytes() == (
        tmp_path / "y" / "two.zip"
    ).read_bytes()


def test_other_contents_give_another_digest(tmp_path):
    one = write_archive(tmp_path / "one.zip", FILES)
    assert write_archive(tmp_path / "two.zip", {**FILES, "one.txt": b"2" * 5000}) != one


def test_files_come_back(tmp_path):
    source = tmp_path / "big"
    source.write_bytes(b"from disk" * 1000)
    write_archive(tmp_path / "out.zip", {**FILES, "big": source})
    extract(tmp_path / "out.zip", tmp_path / "in")
    assert (tmp_path / "in" / "b" / "two.txt").read_bytes() == b"two"
    assert (tmp_path / "in" / "big").read_bytes() == source.read_bytes()
    assert (tmp_path / "in" / "a.so.1").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "in" / "one.txt").stat().st_mode & 0o777 == 0o644
    assert content_size(source) == 9000


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    write_archive(tmp_path / "out.zip", {"old": b"kept"})
    before = (tmp_path / "out.zip").read_bytes()
    source = tmp_path / "source"
    source.write_bytes(b"x")
    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(PackageError, match="No space left") as caught:
        write_archive(tmp_path / "out.zip", {"a": source})
    assert str(caught.value.at).endswith("out.zip")
    assert (tmp_path / "out.zip").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.zip", "source"]


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "a\\..\\evil"])
def test_a_name_that_leaves_the_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"evil")
    with pytest.raises(PackageError, match="leaves its folder") as caught:
        extract(tmp_path / "bad.zip", tmp_path / "in")
    assert caught.value.at.value == name
    assert not (tmp_path / "in").exists()


def test_a_link_in_an_archive(tmp_path):
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(PackageError, match="not a plain file"):
        extract(tmp_path / "bad.zip", tmp_path / "in")


def test_a_bomb(tmp_path):
    write_archive(tmp_path / "bomb.zip", {"zeros": bytes(2**20)})
    with pytest.raises(PackageError, match="unpacks to 1048576 bytes"):
        extract(tmp_path / "bomb.zip", tmp_path / "in", most=1000)
    assert not (tmp_path / "in").exists()


@pytest.mark.parametrize("data", [b"", b"no zip at all", b"PK\x03\x04" + bytes(40)])
def test_a_file_that_is_no_archive(tmp_path, data):
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(PackageError, match="not a readable package"):
        extract(tmp_path / "bad.zip", tmp_path / "in")


def test_a_damaged_archive(tmp_path):
    write_archive(tmp_path / "out.zip", {"zeros": bytes(range(256)) * 200})
    data = bytearray((tmp_path / "out.zip").read_bytes())
    data[60] ^= 0xFF
    (tmp_path / "out.zip").write_bytes(data)
    with pytest.raises(PackageError, match="not a readable package"):
        extract(tmp_path / "out.zip", tmp_path / "in")


def test_a_missing_archive(tmp_path):
    with pytest.raises(PackageError, match="no such file"):
        extract(tmp_path / "none.zip", tmp_path / "in")

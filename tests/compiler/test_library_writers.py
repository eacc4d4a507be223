"""A library that several processes write to, some of which die or meet a full disk."""

import errno
import subprocess
import sys
import time
from pathlib import Path

import pytest

from suture.compiler.library import LOCK, Library
from suture.errors import LibraryError

ADD = """
import sys, time
from pathlib import Path
from suture.compiler.library import Library, describe
root, model, start, own = map(Path, sys.argv[1:])
made = [describe(model, name=name) for name in (f"{own}-1", "shared", f"{own}-2", f"{own}-3")]
(start / own).touch()
while not (start / "now").exists():
    time.sleep(0.001)
for component in made:
    Library(root).add(component)
"""
HOLD = """
import sys
from pathlib import Path
from suture.compiler.library import Library
with Library(Path(sys.argv[1]))._writing():
    print("held", flush=True)
    sys.stdin.read()
"""
DIE = """
import os, shutil, sys
from pathlib import Path
from suture.compiler.library import Library, describe
def half(source, target):
    Path(target).write_bytes(Path(source).read_bytes()[:50])
    os._exit(9)
shutil.copyfile = half
Library(Path(sys.argv[1])).add(describe(Path(sys.argv[2]), name="net"))
"""


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "library", lock_timeout_s=0.1)


def script(source, *args):
    return subprocess.Popen(
        [sys.executable, "-c", source, *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_adding_at_once(library, component, tmp_path):
    start = tmp_path / "start"
    start.mkdir()
    model = component().path
    writers = [script(ADD, library.root, model, start, own) for own in ("one", "two")]
    while len(list(start.iterdir())) < 2:
        assert all(writer.poll() is None for writer in writers)
        time.sleep(0.01)
    (start / "now").touch()
    looks = 0
    while looks == 0 or any(writer.poll() is None for writer in writers):
        for seen in library:
            library.verify_digest(seen)
        looks += 1
    assert [writer.communicate() and writer.returncode for writer in writers] == [0, 0]
    names = [f"{own}-{number}" for own in ("one", "two") for number in (1, 2, 3)]
    assert [found.name for found in library] == sorted([*names, "shared"])
    for found in library:
        library.verify(found)
    assert not list(library.root.glob(".staged-*"))


def test_a_library_that_another_process_holds(library, component):
    old, new = library.add(component("old")), component("new")
    with script(HOLD, library.root) as holder:
        assert holder.stdout.readline() == "held\n"
        for write in (lambda: library.add(new), lambda: library.remove("old")):
            with pytest.raises(LibraryError, match="held by another process") as caught:
                write()
            assert f"(pid {holder.pid})" in caught.value.message
            assert caught.value.at.component == str(library.root)
            assert "wait for it to end" in caught.value.hint
        assert list(library) == [old]
        holder.stdin.close()
    library.add(new)
    assert library.remove("old") == old


def test_a_writer_waits_for_one_that_ends_in_time(library, component):
    made = component()
    with script(HOLD, library.root) as holder:
        assert holder.stdout.readline() == "held\n"
        holder.stdin.close()
        Library(library.root, lock_timeout_s=30).add(made)
    assert [found.ref for found in library] == ["net@1.0.0"]


def test_a_process_that_dies_half_way(library, component):
    made = component()
    with script(DIE, library.root, made.path) as writer:
        assert writer.wait() == 9
    assert list(library) == []
    library.verify(library.add(made))


def test_a_disk_that_is_full_from_the_start(library, component, monkeypatch):
    def full(*args, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    made = component()
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(LibraryError, match="cannot be written: No space left") as caught:
        library.add(made)
    assert caught.value.at.component == str(library.root)


@pytest.mark.parametrize("step", ["model", "manifest", "rename"])
def test_a_full_disk_leaves_nothing_behind(library, component, monkeypatch, step):
    def full(first, second, *args):
        target = Path(second) if step == "model" else first
        if step != "rename":
            target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    made = component()
    place = {"model": "shutil.copyfile", "manifest": "pathlib.Path.write_text"}
    with monkeypatch.context() as patch:
        patch.setattr(place.get(step, "pathlib.Path.rename"), full)
        with pytest.raises(LibraryError, match="cannot be written: No space left") as caught:
            library.add(made)
    assert caught.value.at.component == str(library.root)
    assert [path.name for path in library.root.rglob("*") if path.is_file()] == [LOCK]
    assert list(library) == []
    library.verify(library.add(made))

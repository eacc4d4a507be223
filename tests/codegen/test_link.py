"""``bootstrap``: what it needs and weighs, and that equal parts give equal bytes."""

import json
import re
import shutil
import subprocess

import pytest

from suture.codegen import link
from suture.codegen.document import Identity, model_document
from suture.codegen.link import (
    ENGINES,
    compile_runtime,
    copy_sources,
    link_program,
    server_sources,
)
from suture.codegen.request import random_event
from suture.codegen.zig import compile_c
from suture.compiler.target import lambda_arm64, lambda_x86_64
from suture.errors import BackendError

TARGETS = {"x86_64": lambda_x86_64(), "aarch64": lambda_arm64()}
MOST_BYTES = 150_000
"""Of a package beyond its weights and kernels, unzipped."""
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.fixture(scope="module", params=TARGETS)
def built(request, conv_model, tvm_backend, tmp_path_factory):
    """A compiled model, its model.json and the target it is for."""
    target = TARGETS[request.param]
    workdir = tmp_path_factory.mktemp(request.param)
    compiled = tvm_backend.compile(conv_model.clone(), target, workdir)
    identity = Identity(name="net", version="7")
    document = model_document(
        compiled, conv_model, identity, target, examples={"x": (1, 1, 12, 12)}
    )
    return compiled, document, target


@pytest.fixture(scope="module")
def program(built, zig_cache):
    compiled, document, target = built
    return link_program(compiled.parts, document, target, cache=zig_cache)


@pytest.fixture(scope="module")
def image_program(built, zig_cache, tmp_path_factory):
    compiled, document, target = built
    folder = tmp_path_factory.mktemp("image") / "parts"
    shutil.copytree(compiled.parts.folder, folder)
    parts = link.Parts(folder, compiled.parts.names, compiled.parts.digest)
    image = {**document, "image": {"input": "x", "mode": "RGB"}}
    return link_program(parts, image, target, cache=zig_cache)


def glibc(path):
    """The versions of glibc's symbols that a file asks for."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes())
    return {(int(major), int(minor)) for major, minor in found}


class Elf:
    """A little-endian ELF64 file (System V ABI)."""

    def __init__(self, path):
        self.data = path.read_bytes()

    def number(self, at, size):
        return int.from_bytes(self.data[at : at + size], "little")

    def headers(self, table, size, count):
        start, step = self.number(table, 8), self.number(size, 2)
        return [start + step * index for index in range(self.number(count, 2))]

    @property
    def segments(self):
        """Types of the segments."""
        return {self.number(at, 4) for at in self.headers(32, 54, 56)}

    @property
    def loaded_bytes(self):
        """Bytes of the sections that are loaded from the file."""
        no_bits, allocated = 8, 2
        return sum(
            self.number(at + 32, 8)
            for at in self.headers(40, 58, 60)
            if self.number(at + 4, 4) != no_bits and self.number(at + 8, 8) & allocated
        )


def test_runs_with_glibc_2_34(built, program):
    compiled, _, _ = built
    for path in (program, compiled.files["libmodel.so"]):
        assert glibc(path)
        assert max(glibc(path)) <= (2, 34)


def test_static_programs_need_no_library(built, zig_cache):
    compiled, document, target = built
    path = link_program(compiled.parts, document, target, cache=zig_cache, static=True)
    dynamic, interpreter = 2, 3
    assert not Elf(path).segments & {dynamic, interpreter}
    assert not glibc(path)


@pytest.mark.parametrize("kind", ["program", "image_program"])
def test_bytes_beyond_weights_and_kernels(built, request, kind):
    compiled, document, _ = built
    objects = compiled.parts.folder.glob("kernels*.o")
    kernels = sum(Elf(path).loaded_bytes for path in objects)
    size = request.getfixturevalue(kind).stat().st_size
    rest = size + len(json.dumps(document)) - compiled.weight_bytes
    assert 0 < rest - kernels < MOST_BYTES


def test_weights_are_there_once_and_as_they_are(built, program):
    compiled, _, _ = built
    weights = (compiled.parts.folder / "weights.bin").read_bytes()
    data = program.read_bytes()
    assert data.count(weights) == 1
    assert data.index(weights) % 4096 == 0


def test_the_same_bytes_in_another_folder(built, program, zig_cache, tmp_path):
    """Every part is compiled anew there, the runtime too."""
    compiled, document, target = built
    parts = link.Parts(tmp_path / "deep", compiled.parts.names, compiled.parts.digest)
    ignored = shutil.ignore_patterns(".zig", "bootstrap*", "libmodel.so")
    shutil.copytree(compiled.parts.folder, parts.folder, ignore=ignored)
    cache = tmp_path / "cache"
    cache.mkdir()
    for kept in zig_cache.iterdir():
        if kept.name != "runtime":
            (cache / kept.name).symlink_to(kept)
    again = link_program(parts, document, target, cache=cache)
    assert again.read_bytes() == program.read_bytes()
    assert str(compiled.parts.folder).encode() not in program.read_bytes()
    assert str(zig_cache).encode() not in program.read_bytes()


def test_the_runtime_is_compiled_once_for_a_triple(built, zig_cache, monkeypatch):
    compiled, document, target = built
    link_program(compiled.parts, document, target, cache=zig_cache)
    compiled_files = []
    original = link.compile_c

    def counted(arguments, name, target, **more):
        compiled_files.append(name)
        return original(arguments, name, target, **more)

    monkeypatch.setattr("suture.codegen.link.compile_c", counted)
    link_program(compiled.parts, document, target, cache=zig_cache)
    assert compiled_files == ["bootstrap"]


def test_a_source_that_does_not_compile_leaves_nothing(target, tmp_path, monkeypatch):
    def broken(names, workdir):
        copy_sources(names, workdir)
        (workdir / "rt.c").write_text("#error nonsense\n")

    monkeypatch.setattr("suture.codegen.link.copy_sources", broken)
    with pytest.raises(BackendError, match="nonsense"):
        compile_runtime(["rt.c"], target, cache=tmp_path)
    assert not list((tmp_path / "runtime").iterdir())


@pytest.mark.parametrize("backend", ENGINES)
@pytest.mark.parametrize("static", [False, True], ids=["glibc", "musl"])
def test_the_runtime_is_clean_c11(backend, static, target, zig_cache, tmp_path):
    target = target.with_own_libc() if static else target
    names = server_sources(backend, image=False)
    copy_sources((*names, *link._named(".h")), tmp_path)
    for name in names:
        arguments = ["-std=c11", "-O2", *WARNINGS, "-c", name]
        compile_c(arguments, "object.o", target, workdir=tmp_path, cache=zig_cache)


@pytest.mark.parametrize("static", [False, True], ids=["glibc", "musl"])
def test_answers_one_event(built, zig_cache, static):
    """The program by itself, with an event on standard input."""
    compiled, document, target = built
    if not target.runs_here:
        pytest.skip("runs under QEMU in test_invoke.py")
    path = link_program(compiled.parts, document, target, cache=zig_cache, static=static)
    done = subprocess.run(
        [path, "--once"],
        input=json.dumps(random_event(document)),
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    answer = json.loads(done.stdout)
    assert [each["name"] for each in answer["outputs"]] == ["logits", "p"]

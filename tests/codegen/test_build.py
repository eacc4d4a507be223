import ctypes
import re
import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest

from suture.codegen.build import build
from suture.codegen.link import KERNELS, copy_sources
from suture.codegen.lower import lower
from suture.codegen.walk import plan_program
from suture.errors import BackendError

API = {
    "model_arena_bytes",
    "model_error",
    "model_in_bytes",
    "model_init",
    "model_n_in",
    "model_n_kernels",
    "model_n_out",
    "model_n_programs",
    "model_out_bytes",
    "model_processor",
    "model_profile",
    "model_run",
    "model_set_threads",
    "model_use",
}
LIBC = {
    *("memcpy", "memset", "snprintf", "posix_memalign", "free", "madvise", "clock_gettime"),
    *("pthread_create", "pthread_detach", "pthread_join", "pthread_sigmask", "sigfillset"),
    *("sched_getcpu", "sched_getaffinity", "pthread_setaffinity_np", "__sched_cpucount"),
    *("syscall", "getpid"),
}


@pytest.fixture(scope="module")
def library(conv_model, target, zig_cache, tmp_path_factory):
    lowered = lower(conv_model, target)
    plan = plan_program(lowered)
    return build(
        lowered, plan, target, workdir=tmp_path_factory.mktemp("one"), cache=zig_cache
    )


def dynamic_symbols(library):
    """Defined and undefined names in .dynsym of a little-endian ELF64 file (System V ABI)."""
    data = library.read_bytes()

    def number(at, size):
        return int.from_bytes(data[at : at + size], "little")

    table, size, count = number(40, 8), number(58, 2), number(60, 2)
    sections = [table + size * index for index in range(count)]
    (dynsym,) = [s for s in sections if number(s + 4, 4) == 11]
    strings = number(sections[number(dynsym + 40, 4)] + 24, 8)
    defined, undefined = set(), set()
    start, length = number(dynsym + 24, 8), number(dynsym + 32, 8)
    for symbol in range(start + 24, start + length, 24):
        at = strings + number(symbol, 4)
        name = data[at : data.index(b"\0", at)].decode()
        (defined if number(symbol + 6, 2) else undefined).add(name)
    return defined, undefined


def test_exports_the_interface_and_needs_only_libc(library):
    defined, undefined = dynamic_symbols(library)
    assert defined == API
    assert undefined <= LIBC


def test_loads_with_glibc_2_34(library):
    versions = set(re.findall(rb"GLIBC_(\d+)\.(\d+)", library.read_bytes()))
    assert versions
    assert max((int(major), int(minor)) for major, minor in versions) <= (2, 34)


def test_same_bytes_in_another_folder_from_a_cold_start(
    library, conv_model, target, zig_cache, tmp_path
):
    """The second build runs in a process of its own: nothing may hang on hash seeds."""
    ir.save(conv_model.clone(), tmp_path / "m.onnx")
    script = (
        "import sys, onnx_ir as ir; from pathlib import Path\n"
        "from suture.codegen.backend.tvm import TvmBackend\n"
        "from suture.compiler.target import lambda_x86_64\n"
        "model, cache, out = map(Path, sys.argv[1:])\n"
        "TvmBackend(cache).compile(ir.load(model), lambda_x86_64(), out)\n"
    )
    out = tmp_path / "deep" / "folder"
    command = [sys.executable, "-c", script, tmp_path / "m.onnx", zig_cache, out]
    subprocess.run(command, check=True)
    assert (out / "libmodel.so").read_bytes() == library.read_bytes()
    assert str(tmp_path).encode() not in library.read_bytes()


def test_new_weights_in_an_equal_plan_are_not_served_from_the_cache(
    library, conv_model, target, zig_cache, tmp_path
):
    model = conv_model.clone()
    bias = model.graph.initializers["b2"]
    bias.const_value = ir.Tensor(bias.const_value.numpy() + 100, name="b2")
    lowered = lower(model, target)
    plan = plan_program(lowered)
    other = build(lowered, plan, target, workdir=tmp_path, cache=zig_cache)
    assert (tmp_path / "plan.c").read_text() == (library.parent / "plan.c").read_text()
    assert other.read_bytes() != library.read_bytes()


def test_linker_failure_is_told(conv_model, target, zig_cache, tmp_path, monkeypatch):
    monkeypatch.setattr("suture.codegen.build.plan_source", lambda *plan: "#error nonsense\n")
    lowered = lower(conv_model, target)
    with pytest.raises(BackendError, match="nonsense"):
        build(lowered, plan_program(lowered), target, workdir=tmp_path, cache=zig_cache)
    assert not (tmp_path / "libmodel.so").exists()


def test_generated_sources_are_clean_c11(library, target, tmp_path):
    headers = ("ahead.h", "clock.h", "model.h", "pool.h", "scratch.h")
    copy_sources(["runner.c", *headers, *KERNELS], library.parent)
    for name in ("plan.c", "kernels.c", "runner.c", *KERNELS):
        command = [
            *(sys.executable, "-m", "ziglang", "cc", "-target", target.triple),
            *("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", name),
            *("-o", str(tmp_path / "object.o")),
        ]
        done = subprocess.run(
            command, cwd=library.parent, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_running_before_init_is_an_error(library, tmp_path):
    copy = tmp_path / "uninitialised.so"
    copy.write_bytes(library.read_bytes())
    fresh = ctypes.CDLL(str(copy))
    fresh.model_error.restype = ctypes.c_char_p
    assert fresh.model_error() == b""
    assert fresh.model_run(None, None) != 0
    assert fresh.model_error() == b"model_init was not called"


def test_interface_tells_sizes(library):
    loaded = ctypes.CDLL(str(library))
    for name in ("model_in_bytes", "model_out_bytes", "model_arena_bytes"):
        getattr(loaded, name).restype = ctypes.c_uint64
    assert (loaded.model_n_in(), loaded.model_n_out()) == (1, 2)
    assert loaded.model_in_bytes(0) == 4 * 144
    assert [loaded.model_out_bytes(i) for i in range(2)] == [4 * 10, 4 * 288]
    assert loaded.model_arena_bytes() % 64 == 0
    assert np.int64(loaded.model_arena_bytes()) >= 4 * 8 * 144

"""What a program finds out of its processor, against what Linux says and for others' words."""

import os
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

from suture.codegen.zig import compile_c
from suture.compiler.target import lambda_x86_64

# CPUID's words of InstLatx64's dumps; the last column is what the system saves.
PROCESSORS = {
    "Skylake-SP": ("7ffefbff", "d39ffffb", "00000121", "e7", "1 1 1 0"),
    "Skylake-SP without saved ZMM": ("7ffefbff", "d39ffffb", "00000121", "07", "1 1 0 0"),
    "Zen 4": ("7ef8320b", "f1bf97a9", "75c237ff", "e7", "1 1 1 0"),
    "Zen 3": ("7ef8320b", "219c97a9", "75c237ff", "07", "1 1 0 0"),
    "Haswell": ("7ffefbff", "000027ab", "00000021", "07", "1 1 0 0"),
    "Haswell without saved YMM": ("7ffefbff", "000027ab", "00000021", "03", "1 0 0 0"),
    "Haswell without FMA": ("7ffeebff", "000027ab", "00000021", "07", "1 0 0 0"),
    "Sandy Bridge": ("1fbae3ff", "00000000", "00000001", "07", "1 0 0 0"),
    "nothing": ("0", "0", "0", "0", "1 0 0 0"),
}


@pytest.fixture(scope="module")
def ask(zig_cache, tmp_path_factory):
    target = lambda_x86_64()
    if not target.runs_here:
        pytest.skip("this machine is no x86-64")
    source = Path(__file__).with_name("cpu_test.c")
    native = files("suture.codegen.runtime") / "native"
    folder = tmp_path_factory.mktemp("cpu")
    arguments = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{native}"]
    program = compile_c(
        [*arguments, str(source)], "cpu_test", target, workdir=folder, cache=zig_cache
    )
    return lambda *words: subprocess.check_output([program, *words], text=True).strip()


@pytest.mark.parametrize("name", PROCESSORS)
def test_levels_of_other_processors(name, ask):
    *words, levels = PROCESSORS[name]
    assert ask(*words) == levels


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="/proc/cpuinfo is not there")
def test_levels_of_this_processor_are_those_that_linux_tells(ask):
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    v3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"} <= flags
    v4 = v3 and {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= flags
    assert ask() == f"1 {v3:d} {v4:d} 0"

from dataclasses import replace

import pytest

from suture.codegen.processor import LEVELS, kernel_sets, known, level_of
from suture.codegen.schedule.base import WIDTHS, processor_of
from suture.compiler.target import lambda_arm64, lambda_x86_64, lambda_x86_64_v4


@pytest.mark.parametrize("level", LEVELS, ids=lambda level: f"{level.arch} {level.name}")
def test_a_level_is_its_own(level):
    base = lambda_arm64() if level.arch == "aarch64" else lambda_x86_64()
    target = replace(base, mcpu=level.name)
    assert level_of(target) == level
    assert processor_of(target) == WIDTHS[level.name]


@pytest.mark.parametrize(
    ("mcpu", "level"),
    [
        ("skylake-avx512", "x86-64-v4"),
        ("znver3", "x86-64-v3"),
        ("sandybridge", "x86-64"),
    ],
)
def test_processors_are_of_the_most_they_have(mcpu, level):
    assert level_of(replace(lambda_x86_64(), mcpu=mcpu)).name == level


@pytest.mark.parametrize(
    ("mcpu", "level"), [("neoverse-v1", "neoverse-n1"), ("cortex-a57", "generic")]
)
def test_arm64_processors_as_well(mcpu, level):
    assert level_of(replace(lambda_arm64(), mcpu=mcpu)).name == level


def test_an_unknown_processor_falls_back_to_the_baseline_with_a_note():
    wished = replace(lambda_x86_64(), mcpu="znver99", also=("x86-64-v9", "x86-64-v4"))
    target, notes = known(wished)
    assert target == replace(wished, mcpu="x86-64-v3", also=("x86-64-v4",))
    assert notes == (
        "LLVM knows no processor 'znver99': x86-64-v3 is taken",
        "LLVM knows no processor 'x86-64-v9': left out",
    )
    assert known(lambda_arm64()) == (lambda_arm64(), ())


def test_the_note_is_in_the_report(conv_model, tvm_backend, tmp_path):
    target = replace(lambda_x86_64(), mcpu="znver99")
    notes = tvm_backend.compile(conv_model.clone(), target, tmp_path).notes
    assert notes[:2] == (
        "LLVM knows no processor 'znver99': x86-64-v3 is taken",
        "kernels for x86-64-v3",
    )


def test_sets_of_kernels_come_best_first_and_the_baseline_last():
    (only,) = kernel_sets(lambda_x86_64())
    assert (only.mcpu, only.suffix) == ("x86-64-v3", "")
    best, baseline = kernel_sets(lambda_x86_64_v4())
    assert (best.level.symbol, best.suffix) == ("X86_64_V4", "_x86_64_v4")
    assert (baseline.mcpu, baseline.level, baseline.suffix) == (only.mcpu, only.level, "")

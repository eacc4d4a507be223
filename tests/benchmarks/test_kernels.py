"""The kernels that are measured, and a run of both ways to measure them."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from suture.compiler.verify import run_reference, seeded_inputs

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "kernels"


@pytest.fixture
def cases(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import cases

    return cases


@pytest.fixture
def kernels(cases):
    import kernels

    return kernels


def test_cases_are_valid_and_told_apart(cases):
    assert len({str(case) for case in cases.CASES}) == len(cases.CASES)
    for case in cases.CASES:
        model = case.model()
        assert {value.name for value in model.graph.inputs} == set(case.inputs)
        assert model.graph.outputs[0].shape.is_static()


def test_work_is_that_of_the_operator_alone(cases, kernels):
    conv = cases.conv("c", 8, 16, 10, kernel=(3, 3), stride=2)
    assert kernels.work(conv.model()) == kernels.Work(
        flops=2 * 16 * 8 * 9 * 5 * 5,
        read=4 * (8 * 10 * 10 + 16 * 8 * 9 + 16),
        written=4 * 16 * 5 * 5,
    )
    pool = cases.behind("p", "y = GlobalAveragePool(before0)", 16, 6)
    work = kernels.work(pool.model())
    assert work == kernels.Work(flops=0, read=4 * 16 * 6 * 6, written=4 * 16)
    square = cases.attention(2, 5, 4)
    assert kernels.work(square.model()).flops == 2 * 2 * (2 * 5 * 5 * 4)


def test_the_kernels_that_count(cases, kernels, tmp_path, monkeypatch):
    from suture.compiler.target import lambda_x86_64

    pool = cases.behind("p", "y = MaxPool<kernel_shape=[2,2]>(before0)", 16, 6)
    made = kernels.Kernels(pool, lambda_x86_64(), tmp_path, tmp_path / "zig")
    assert made.schedules
    assert not any("conv" in op or "layout" in op for op in made.schedules)
    assert made.error < 1e-6
    before = made.seconds
    spent = [made.run(), made.run()]
    assert made.seconds - before == pytest.approx(sum(spent) / 1e6)
    timed = kernels.time_rounds(made, lambda: 1.0, tmp_path, rounds=3)
    assert min(timed.ours_us, timed.peer_us) > 0
    assert timed.moving_us == 1e6


@pytest.mark.parametrize("name", ["attention, 3 heads, 197×64", "grouped, 136→544, 1×1, 14²"])
def test_answers_do_not_vanish(cases, name):
    (case,) = (case for case in cases.CASES if str(case).startswith(name))
    model = case.model()
    (answer,) = run_reference(model, seeded_inputs(model, np.random.default_rng(0))).values()
    assert answer.std() > 1e-2


def test_the_table():
    out = subprocess.run(
        [sys.executable, FOLDER, "--rounds", "2", "GEMV", "1×256×256"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (line,) = re.findall(r"^\| GEMV \| 1×256×256 \|(.+)\|$", out, re.M)
    schedules, us, gflops, _, bound, part, ratio = (c.strip() for c in line.split("|"))
    assert "{" in schedules
    assert min(float(us), float(gflops), float(ratio)) > 0
    assert bound in ("memory", "arithmetic")
    assert part.endswith("%")
    assert re.search(r"multiply-adds: \d+ GFLOP/s", out)


def test_the_suite_of_pytest_benchmark(tmp_path):
    command = [
        *(sys.executable, "-m", "pytest", FOLDER, "-q", "-k", "softmax and 1x1000"),
        *("-p", "no:cacheprovider", f"--benchmark-json={tmp_path / 'found.json'}"),
    ]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=ROOT)
    (found,) = json.loads((tmp_path / "found.json").read_text("utf-8"))["benchmarks"]
    assert found["group"] == "softmax"
    assert found["stats"]["rounds"] == 41
    assert found["stats"]["median"] > 0
    assert found["extra_info"]["bytes"] == 2 * 4 * 1000

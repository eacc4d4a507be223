import os

import numpy as np
import pytest

from suture.codegen.backend.ort import OrtBackend
from suture.codegen.measure import (
    FEWEST_ROUNDS,
    MOST_ROUNDS,
    Timings,
    measure,
    measure_for,
    pinned,
    profile_kernels,
)


def test_programs_take_turns():
    order = []
    runs = {name: lambda _, name=name: order.append(name) or {} for name in "abc"}
    timings = measure(runs, {}, rounds=4, warmup=2)
    assert [len(times) for times in timings.rounds_ms.values()] == [4, 4, 4]
    rounds = ["".join(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert rounds[2:] == ["abc", "bca", "cab", "abc"]


def test_medians_and_ratios():
    timings = Timings({"mine": (1.0, 2.0, 9.0), "peer": (2.0, 8.0, 9.0)})
    assert timings.median_ms == {"mine": 2.0, "peer": 8.0}
    assert timings.ratio("mine", "peer") == 0.5
    assert timings.fastest == "mine"


def test_at_least_one_round():
    with pytest.raises(ValueError, match="at least 1"):
        measure({}, {}, rounds=0)


@pytest.mark.parametrize(("seconds", "rounds"), [(0, FEWEST_ROUNDS), (1e9, MOST_ROUNDS)])
def test_as_many_rounds_as_are_fair(seconds, rounds):
    timings = measure_for(seconds, {"a": lambda _: {}, "b": lambda _: {}}, {})
    assert {len(times) for times in timings.rounds_ms.values()} == {rounds}


def test_pinned_to_the_last_processors():
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert os.sched_getaffinity(0) == {max(before)}
    assert os.sched_getaffinity(0) == before
    with pytest.raises(ValueError, match="processors"), pinned(len(before) + 1):
        pass
    assert os.sched_getaffinity(0) == before


def test_kernels_of_a_compiled_program_are_timed(
    conv_model, random_inputs, tvm_backend, target, tmp_path
):
    compiled = tvm_backend.compile(conv_model, target, tmp_path)
    run = tvm_backend.load(compiled, conv_model, threads=1)
    inputs = random_inputs(conv_model)
    kernels = profile_kernels(compiled, run, inputs, rounds=3)
    assert [kernel.name for kernel in kernels] == [kernel.name for kernel in compiled.kernels]
    assert all(kernel.microseconds >= 0 for kernel in kernels)
    whole = min(measure({"tvm": run}, inputs, rounds=9).rounds_ms["tvm"]) * 1000
    assert sum(run.profile(inputs)) / 1000 > 0
    assert np.min([kernel.microseconds for kernel in kernels]) < whole


def test_onnx_runtime_tells_its_kernels_when_it_runs(
    conv_model, random_inputs, target, tmp_path
):
    backend = OrtBackend()
    compiled = backend.compile(conv_model, target, tmp_path)
    run = backend.load(compiled, conv_model, threads=1)
    inputs = random_inputs(conv_model)
    traced = profile_kernels(compiled, run, inputs)
    assert {"Conv", "MaxPool"} <= {kernel.op for kernel in traced}
    assert all(kernel.microseconds is not None for kernel in traced)
    assert profile_kernels(compiled, lambda given: run(given), inputs) == compiled.kernels

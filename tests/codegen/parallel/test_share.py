import logging

import numpy as np
import pytest
import tvm
from hypothesis import given
from hypothesis import strategies as st
from tvm import s_tir
from tvm.script import tirx as T  # noqa: N812 - so that TVM prints it

from suture.codegen.parallel import parallelize, shared
from suture.codegen.parallel.share import TASKS_PER_THREAD, even_parts, evenness

SIZE = 16


@T.prim_func(s_tir=True)
def rows(x: T.Buffer((SIZE, 64), "float32"), y: T.Buffer((SIZE, 64), "float32")):
    for i, j in T.grid(SIZE, 64):
        with T.sblock("twice"):
            a, b = T.axis.remap("SS", [i, j])
            y[a, b] = x[a, b] * T.float32(2)


@T.prim_func(s_tir=True)
def columns_summed(x: T.Buffer((SIZE, 64), "float32"), y: T.Buffer((64,), "float32")):
    for i, j in T.grid(SIZE, 64):
        with T.sblock("sum"):
            a, b = T.axis.remap("RS", [i, j])
            with T.init():
                y[b] = T.float32(0)
            y[b] = y[b] + x[a, b]


@T.prim_func(s_tir=True)
def running_sum(x: T.Buffer((SIZE,), "float32"), y: T.Buffer((SIZE,), "float32")):
    for i in range(SIZE):
        with T.sblock("running"):
            a = T.axis.spatial(SIZE, i)
            y[a] = T.if_then_else(a > 0, y[a - 1], T.float32(0)) + x[a]


@T.prim_func(s_tir=True)
def overlapping(x: T.Buffer((SIZE,), "float32"), y: T.Buffer((SIZE,), "float32")):
    for i, j in T.grid(SIZE - 2, 3):
        with T.sblock("copy"):
            a = T.axis.spatial(SIZE, i + j)
            y[a] = x[a]


@T.prim_func(s_tir=True)
def same_place(x: T.Buffer((SIZE,), "float32"), y: T.Buffer((1,), "float32")):
    for i in range(SIZE):
        with T.sblock("last"):
            a = T.axis.spatial(SIZE, i)
            y[0] = x[a]


@T.prim_func(s_tir=True)
def neighbour(
    x: T.Buffer((SIZE,), "float32"),
    t: T.Buffer((SIZE,), "float32"),
    y: T.Buffer((SIZE,), "float32"),
):
    for i in range(SIZE):
        with T.sblock("first"):
            a = T.axis.spatial(SIZE, i)
            t[a] = x[a]
        with T.sblock("second"):
            a = T.axis.spatial(SIZE, i)
            y[a] = T.if_then_else(a > 0, t[a - 1], T.float32(0))


def lengths(function):
    """How many rounds the parallel loops of a function have."""
    lines = [line for line in function.script().splitlines() if "T.parallel(" in line]
    return [int(line.partition("T.parallel(")[2].rstrip("):")) for line in lines]


def test_rows_are_shared_and_vectors_are_left_alone():
    assert lengths(shared(rows, 2, least_us=0)) == [SIZE]


def test_with_one_thread_nothing_changes():
    module = tvm.IRModule({"main": rows})
    assert parallelize(module, 1, least_us=0) is module


def test_what_takes_no_time_is_not_shared():
    assert shared(rows, 2, least_us=1e3) is rows


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (columns_summed, "sum adds up along them"),
        (running_sum, "y may pass between rounds"),
        (overlapping, "two rounds may write the same place of y"),
        (same_place, "two rounds may write the same place of y"),
        (neighbour, "t may pass between rounds"),
    ],
    ids=lambda value: None if isinstance(value, str) else value.__name__,
)
def test_what_needs_its_order_keeps_it(function, reason, caplog):
    with caplog.at_level(logging.INFO):
        assert shared(function, 2, least_us=0) is function
    assert reason in caplog.text


def test_memory_of_a_round_may_be_written_by_every_round():
    schedule = s_tir.Schedule(halo())
    schedule.compute_at(
        schedule.get_sblock("padded"), schedule.get_loops(schedule.get_sblock("sums"))[0]
    )
    function = schedule.mod["main"]
    assert lengths(shared(function, 2, least_us=0)) == [SIZE]
    image = np.random.default_rng(0).standard_normal((SIZE, 32)).astype(np.float32)
    wanted = np.pad(image, ((1, 1), (0, 0)))
    wanted = wanted[:-2] + wanted[1:-1] + wanted[2:]
    out = tvm.runtime.tensor(np.zeros_like(image))
    library = tvm.compile(shared(function, 2, least_us=0), target="llvm")
    library["main"](tvm.runtime.tensor(image), out)
    np.testing.assert_allclose(out.numpy(), wanted, rtol=1e-5, atol=1e-6)


def halo():
    """Sums of three neighbouring rows, read from a padded copy."""
    x = tvm.te.placeholder((SIZE, 32), name="x")
    padded = tvm.te.compute(
        (SIZE + 2, 32),
        lambda i, j: tvm.tirx.if_then_else(
            tvm.tirx.all(i > 0, i <= SIZE), x[i - 1, j], tvm.tirx.const(0.0, "float32")
        ),
        name="padded",
    )
    k = tvm.te.reduce_axis((0, 3), "k")
    sums = tvm.te.compute(
        (SIZE, 32), lambda i, j: tvm.te.sum(padded[i + k, j], axis=k), name="sums"
    )
    return tvm.te.create_prim_func([x, sums])


@given(rounds=st.integers(1, 10_000), threads=st.integers(2, 8))
def test_evenness_is_that_of_the_fullest_thread(rounds, threads):
    each = -(-rounds // (TASKS_PER_THREAD * threads))
    tasks = [min(each, rounds - start) for start in range(0, rounds, each)]
    fullest = sum(tasks[: -(-len(tasks) // threads)])
    assert evenness(rounds, threads) == pytest.approx(rounds / threads / fullest)
    assert 0 < evenness(rounds, threads) <= 1


def test_several_short_outer_loops_are_fused_until_they_share_out():
    x = tvm.te.placeholder((3, 4, 7, 64), name="x")
    y = tvm.te.compute(x.shape, lambda *i: x[i] * 2, name="y")
    function = tvm.te.create_prim_func([x, y])
    assert lengths(shared(function, 2, least_us=0)) == [3 * 4 * 7]


@pytest.mark.parametrize(
    ("channels", "pixels", "parallel"),
    [(64, 3136, [16]), (2048, 4, [32])],
    ids=["a large image along its pixels", "many weights along its filters"],
)
def test_threads_have_little_in_common(channels, pixels, parallel):
    filters = 32
    image = tvm.te.placeholder((channels, pixels), name="image")
    weights = tvm.te.placeholder((filters, channels), name="weights")
    c = tvm.te.reduce_axis((0, channels), "c")
    sums = tvm.te.compute(
        (filters, pixels, 8),
        lambda o, p, v: tvm.te.sum(weights[o, c] * image[c, p], axis=c),
        name="sums",
    )
    function = tvm.te.create_prim_func([image, weights, sums])
    assert lengths(shared(function, 2, least_us=0)) == parallel


def test_even_parts():
    assert even_parts(3136, 2) == 16
    assert even_parts(28, 2) == 14
    assert even_parts(13, 2) == 13
    assert even_parts(7, 2) is None
    assert even_parts(3, 2) is None


def test_loops_with_annotations_are_left_alone():
    schedule = s_tir.Schedule(halo())
    outer, inner, _ = schedule.get_loops(schedule.get_sblock("sums"))
    schedule.annotate(inner, "pragma_loop_partition_hint", True)
    assert lengths(shared(schedule.mod["main"], 2, least_us=0)) == [SIZE + 2, SIZE]
    schedule.annotate(outer, "pragma_loop_partition_hint", True)
    assert lengths(shared(schedule.mod["main"], 2, least_us=0)) == [SIZE + 2]

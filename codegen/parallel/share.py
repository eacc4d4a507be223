"""Which loops of a finished kernel run on several threads.

Each nest of loops at the top of a kernel is looked at by itself: where the rounds of a loop
may run in any order and the nest takes long enough, the rounds are shared. No sum is cut, so
answers do not depend on the number of threads.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import tvm
from tvm import s_tir

from suture.codegen.parallel.nest import Nest, nests
from suture.codegen.parallel.order import obstacle

logger = logging.getLogger(__name__)

LEAST_US = 4.0
"""Shorter nests stay with one thread: a launch costs up to a microsecond."""
TASKS_PER_THREAD = 8
"""How finely the runtime cuts a loop; the same number stands in pool.c."""
EVEN = 0.9


def parallelize(
    module: tvm.IRModule, threads: int, *, least_us: float = LEAST_US
) -> tvm.IRModule:
    """Return a module whose TensorIR functions use threads where that is legal and pays.

    Args:
        module: Functions with complete schedules.
        threads: How many there are; with one, nothing changes.
        least_us: The shortest nest worth sharing, in estimated microseconds of one thread.
    """
    if threads < 2:
        return module
    functions = {
        name: shared(function, threads, least_us=least_us)
        if isinstance(function, tvm.tirx.PrimFunc)
        else function
        for name, function in module.functions.items()
    }
    return tvm.IRModule(functions)


def shared(
    function: tvm.tirx.PrimFunc, threads: int, *, least_us: float = LEAST_US
) -> tvm.tirx.PrimFunc:
    """Return a function with the nests that pay shared among threads."""
    # TVM's own check of ``parallel`` is off: ``obstacle`` stands in for it.
    schedule = s_tir.Schedule(function, enable_check=False)
    results = [
        _share(nest, threads) for nest in nests(schedule) if nest.microseconds() >= least_us
    ]
    if not any(results):
        return function
    done = schedule.mod["main"]
    symbol = (function.attrs or {}).get("global_symbol")
    return done.with_attr("global_symbol", symbol) if symbol else done


@dataclass(frozen=True)
class Cut:
    """How a nest is cut into rounds for threads.

    Attributes:
        first: Position of the first of the loops that make the rounds.
        count: How many neighbouring loops make them.
        parts: Into how many parts they are cut and brought outermost; None where they are
            outermost and run as they are.
    """

    first: int
    count: int
    parts: int | None = None


def _share(nest: Nest, threads: int) -> bool:
    """Run a nest in parallel; False where it stays as it is."""
    for cut in cuts(nest, threads):
        loops = nest.loops[cut.first : cut.first + cut.count]
        reason = obstacle(nest, loops)
        if reason:
            logger.info("a nest of %s is not shared: %s", nest.names, reason)
            continue
        try:
            _apply(nest, cut)
        except s_tir.ScheduleError as error:
            logger.info("a nest of %s cannot be cut: %s", nest.names, error)
            continue
        return True
    return False


def _apply(nest: Nest, cut: Cut) -> None:
    schedule = nest.schedule
    loops = nest.loops[cut.first : cut.first + cut.count]
    if cut.parts is None:
        schedule.parallel(schedule.fuse(*loops) if len(loops) > 1 else loops[0])
        return
    part, rest = schedule.split(loops[0], [cut.parts, None])
    schedule.reorder(part, *nest.loops[: cut.first], rest)
    schedule.parallel(part)


def cuts(nest: Nest, threads: int) -> list[Cut]:
    """Return the cuts worth trying, the best first.

    The loop whose rounds have least in common is best: a convolution of a large image is cut
    along its rows, one with many weights along its filters. Consecutive kernels that are cut
    along rows find what they read in the caches of the same cores. If that loop cannot be cut
    evenly, as many of the outermost loops are fused as give every thread several rounds.
    """
    found = []
    # The innermost loop of a single block is left to LLVM's vectors.
    inner = nest.loops[:-1] if nest.single else nest.loops
    sizes = [nest.rounds(loop) for loop in inner]
    fit = [at for at, size in enumerate(sizes) if size >= 2 * threads]
    if fit:
        common = [nest.common_bytes(loop) for loop in inner]
        best = min(fit, key=lambda at: common[at])
        parts = even_parts(sizes[best], threads)
        if parts and common[best] < common[0]:
            found.append(Cut(best, 1, parts))
    count = fused(nest, threads)
    return [*found, Cut(0, count)] if count else found


def even_parts(rounds: int, threads: int) -> int | None:
    """Return into how many equal parts to cut rounds, or None where none share out evenly."""
    most = TASKS_PER_THREAD * threads
    fair = [
        parts
        for parts in range(threads, most + 1)
        if rounds % parts == 0 and evenness(parts, threads) >= EVEN
    ]
    return max(fair, default=None)


def fused(nest: Nest, threads: int) -> int:
    """Return how many outer loops to fuse; 0 where there is nothing to share."""
    sizes = [nest.rounds(loop) for loop in nest.loops]
    rounds = [math.prod(sizes[: count + 1]) for count in range(len(sizes))]
    if nest.single and len(rounds) > 1 and rounds[-2] > 1:
        rounds = rounds[:-1]
    if rounds[-1] < 2:
        return 0
    fair = [evenness(count, threads) for count in rounds]
    for position, count in enumerate(rounds):
        if count >= TASKS_PER_THREAD * threads and fair[position] >= EVEN:
            return position + 1
    return fair.index(max(fair)) + 1


def evenness(rounds: int, threads: int) -> float:
    """Return the mean load of threads by the largest, for equal rounds cut into tasks."""
    each = -(-rounds // (TASKS_PER_THREAD * threads))
    tasks = -(-rounds // each)
    return rounds / (threads * min(-(-tasks // threads) * each, rounds))

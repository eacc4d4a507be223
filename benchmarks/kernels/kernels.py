"""One case compiled, its answer checked, and its kernels timed on their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir
from cases import BEFORE, Case

from suture.codegen.backend.base import Compiled, Kernel
from suture.codegen.backend.ort import read_trace
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.native import NativeProgram
from suture.compiler.inspect import node_flops
from suture.compiler.session import open_session
from suture.compiler.target import Target
from suture.compiler.verify import Arrays, assert_equal, run_reference, seeded_inputs

LAYOUT = {"blocked", "plain", "layout", "reshape"}
"""What kernels consist of that only bring a lone operator's tensors into a network's form."""

PEER_LAYOUT = ("ReorderInput", "ReorderOutput")
"""The same in ONNX Runtime."""

FINEST_US = 1.0
"""ONNX Runtime's profiler tells no shorter times."""

ARITHMETIC = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a case must do, however it is done.

    Attributes:
        flops: Operations of products and convolutions, a multiply-add counted as two.
        read: Bytes of the tensors that it reads, each once.
        written: Bytes of its answer.
    """

    flops: int
    read: int
    written: int


class Kernels:
    """The kernels of a case, and the time that they take without what stands around them.

    Args:
        case: What to compile.
        target: What for.
        folder: An empty folder for files.
        cache: Zig's cache.

    Attributes:
        schedules: What the kernels that count are, in the order of their calls.
        work: What they must do.
        inputs: Seeded numbers.
        seconds: Time in kernels that count since the beginning, a clock for benchmarks.

    Raises:
        BackendError: TVM does not hold the case.
        VerifyError: The answer is not ONNX Runtime's.
    """

    def __init__(self, case: Case, target: Target, folder: Path, cache: Path) -> None:
        self.model = case.model()
        self.inputs: Arrays = seeded_inputs(self.model, np.random.default_rng(0))
        backend = TvmBackend(cache, size_speed=case.size_speed)
        compiled = backend.compile(self.model.clone(), target, folder)
        self._program: NativeProgram = backend.load(compiled, self.model, threads=1)
        expected = run_reference(self.model, self.inputs)
        self.error = assert_equal(expected, self._program(self.inputs), what=str(case))
        before = [node for node in self.model.graph if _stands_before(str(node.name))]
        self._counted = counted(compiled, len(before))
        self.schedules = tuple(compiled.kernels[at].op for at in self._counted)
        self.work = work(self.model)
        self.seconds = 0.0

    def run(self) -> float:
        """Run once; return the microseconds in kernels that count."""
        nanoseconds = self._program.profile(self.inputs)
        spent = float(nanoseconds[self._counted].sum())
        self.seconds += spent / 1e9
        return spent / 1e3


def counted(compiled: Compiled, before: int) -> list[int]:
    """Return the places of the kernels that count.

    Layouts do not, nor do scheduled kernels, the first ones, that stand before the operator.
    """
    scheduled = [at for at, kernel in enumerate(compiled.kernels) if "{" in kernel.op]
    skipped = set(scheduled[:before])
    return [
        at
        for at, kernel in enumerate(compiled.kernels)
        if at not in skipped and not LAYOUT.issuperset(kernel.op.split())
    ]


def work(model: ir.Model) -> Work:
    """Return what the nodes that count must do."""
    nodes = [node for node in model.graph if not _stands_before(str(node.name))]
    made = {value for node in nodes for value in node.outputs}
    read = {value for node in nodes for value in node.inputs if value and value not in made}
    return Work(
        flops=sum(node_flops(node) for node in nodes if node.op_type in ARITHMETIC),
        read=_nbytes(read),
        written=_nbytes(model.graph.outputs),
    )


@dataclass(frozen=True, kw_only=True)
class Fastest:
    """Microseconds of the fastest of many rounds: a kernel's own time, not its neighbours'.

    Attributes:
        ours_us: Of our kernels.
        peer_us: Of ONNX Runtime's nodes, as its profiler has them, in whole microseconds.
        moving_us: Of reading and writing as many bytes.
    """

    ours_us: float
    peer_us: float
    moving_us: float


def time_rounds(
    kernels: Kernels,
    moving: Callable[[], float],
    folder: Path,
    *,
    rounds: int,
    warmup: int = 3,
) -> Fastest:
    """Run a case in turn here and in ONNX Runtime, one thread each, and move its bytes.

    Args:
        kernels: The compiled case.
        moving: Moves its bytes and returns the seconds.
        folder: Where ONNX Runtime's profiler writes.
        rounds: Timed rounds, at least 1.
        warmup: Rounds before those, not timed.
    """
    session = open_session(kernels.model, threads=1, trace=folder / "trace")
    ours, moved = [], []

    def peer() -> None:
        session.run(None, dict(kernels.inputs))

    turns = [lambda: ours.append(kernels.run()), peer, lambda: moved.append(moving() * 1e6)]
    for turn in range(warmup + rounds):
        # Each round begins with another one, so that none always comes after the same.
        for play in turns[turn % 3 :] + turns[: turn % 3]:
            play()
    theirs = [
        max(
            FINEST_US,
            math.fsum(kernel.microseconds or 0.0 for kernel in run if _counts(kernel)),
        )
        for run in read_trace(Path(session.end_profiling()))
    ]
    return Fastest(
        ours_us=min(ours[warmup:]),
        peer_us=min(theirs[warmup:]),
        moving_us=min(moved[warmup:]),
    )


def _counts(kernel: Kernel) -> bool:
    """Whether a node of ONNX Runtime's computes the operator."""
    return kernel.op not in PEER_LAYOUT and not _stands_before(kernel.name)


def _stands_before(name: str) -> bool:
    return name.startswith(BEFORE)


def _nbytes(values: Sequence[ir.Value] | set[ir.Value]) -> int:
    shapes = (value.shape.numpy() for value in values if value.shape is not None)
    return sum(4 * math.prod(shape) for shape in shapes)

"""One network in every runtime: compiled, timed and weighed, each in a process of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from batches import batched
from catalogue import build

from suture.codegen.backend.base import Compiled, Run
from suture.codegen.backend.openvino import OpenVinoProgram
from suture.codegen.backend.ort import MODEL, OrtProgram, write_model
from suture.codegen.backend.tvm import TvmBackend
from suture.codegen.measure import Timings, measure, measure_for, pinned
from suture.compiler.model import save_model
from suture.compiler.target import Target, find_target
from suture.compiler.verify import assert_equal, seeded_inputs, tolerance
from suture.errors import BackendError, SutureError, VerifyError
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

PEERS = ("ort", "openvino")
CACHE = Path.home() / ".cache" / "suture" / "zig"
"""What ``suture warm`` fills: the C library for the target."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to compare.

    Attributes:
        mcpu: LLVM's name of the processor to compile for.
        batch: Images at once.
        threads: Threads of every runtime, each on a processor of its own.
        rounds: Timed rounds, or None for as many as fit into ``seconds``.
        seconds: How long to time one network.
        lock: A file to hold locked while timing, so that several runs take turns.
        face: Where the file of the face detector lies.
    """

    mcpu: str
    batch: int = 1
    threads: int
    rounds: int | None
    seconds: float
    lock: Path | None
    face: Path

    @property
    def target(self) -> Target:
        """What TVM compiles for."""
        target = find_target("lambda-x86_64").with_threads(self.threads)
        return replace(target, mcpu=self.mcpu)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of compiling.

    Attributes:
        compiled: TVM's program, or None where it cannot compile the network.
        seconds: How long that took, passes included.
        model_bytes: Size of the model as the peers read it.
        note: Why there is no program.
    """

    compiled: Compiled | None
    seconds: float
    model_bytes: int
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What is known of one network.

    Attributes:
        name: The network.
        made: What came of compiling.
        timings: Times of every runtime that holds it.
        error: Greatest difference from ONNX Runtime as a fraction of the output's magnitude.
        memory_bytes: Growth of the peak memory by loading and running, by runtime.
        notes: What did not work.
    """

    name: str
    made: Made | None = None
    timings: Timings = field(default_factory=lambda: Timings({}))
    error: float | None = None
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def ratio(self, *peers: str) -> float | None:
        """Return TVM's time by that of the fastest of some peers, or None without times."""
        times = self.timings.rounds_ms
        found = [
            self.timings.ratio("tvm", peer) for peer in peers if {"tvm", peer} <= {*times}
        ]
        return max(found, default=None)


def attempt(name: str, settings: Settings, folder: Path, *, weigh: bool) -> Trial:
    """Compile, time and weigh one network.

    Args:
        name: The network.
        settings: How.
        folder: An empty folder for files.
        weigh: Whether to find out the memory too.
    """
    try:
        made = _apart(compile_network, name, settings, folder)
        timings, error, notes = _apart(time_network, made.compiled, settings, folder)
        memory = {
            runtime: _apart(weigh_network, runtime, made.compiled, settings, folder)
            for runtime in (timings.rounds_ms if weigh else ())
        }
    except (BrokenProcessPool, SutureError) as problem:
        return Trial(name=name, notes=(str(problem),))
    known = {runtime: size for runtime, size in memory.items() if size is not None}
    notes = tuple(filter(None, (made.note, *notes)))
    return Trial(
        name=name, made=made, timings=timings, error=error, memory_bytes=known, notes=notes
    )


def compile_network(name: str, settings: Settings, folder: Path) -> Made:
    """Write the network as the peers read it, and compile it with TVM."""
    os.nice(19)
    model = build(name, settings.face)
    if settings.batch > 1:
        batched(model, settings.batch)
    write_model(model, folder)
    model_bytes = sum(path.stat().st_size for path in folder.glob(f"{MODEL}*"))
    began = time.perf_counter()
    note, compiled = "", None
    try:
        PassManager(parse_pipeline("exact")).run(model)
        compiled = TvmBackend(CACHE).compile(model, settings.target, folder / "tvm")
    except SutureError as error:
        note = f"TVM: {error.message}"
    seconds = time.perf_counter() - began
    return Made(compiled=compiled, seconds=seconds, model_bytes=model_bytes, note=note)


def time_network(
    compiled: Compiled | None, settings: Settings, folder: Path
) -> tuple[Timings, float | None, tuple[str, ...]]:
    """Return the times of every runtime that holds a network, TVM's error, and notes."""
    model = ir.load(folder / MODEL)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    notes, runs, answers = [], {}, {}
    with _alone(settings):
        for runtime in ("tvm", *PEERS) if compiled else PEERS:
            try:
                runs[runtime] = _load(runtime, compiled, model, settings, folder)
                answers[runtime] = runs[runtime](inputs)
            except BackendError as error:
                notes.append(f"{runtime}: {error.message}")
        error = None
        if {"tvm", "ort"} <= {*runs}:
            try:
                error = assert_equal(
                    answers["ort"], answers["tvm"], what="tvm", rtol=tolerance(model)
                )
            except VerifyError as problem:
                notes.append(f"wrong answer: {problem}")
                del runs["tvm"]
        if settings.rounds is None:
            return measure_for(settings.seconds, runs, inputs), error, tuple(notes)
        return measure(runs, inputs, rounds=settings.rounds), error, tuple(notes)


def weigh_network(
    runtime: str, compiled: Compiled | None, settings: Settings, folder: Path
) -> int | None:
    """Return by how many bytes loading and running raise this process's peak memory.

    A network of one node goes before, so that the runtime's own library does not count.
    """
    if runtime != "tvm":
        _load_peer(runtime, _tiny(folder), settings.threads)({"x": np.ones(1, np.float32)})
    model = ir.load(folder / MODEL)
    inputs = seeded_inputs(model, np.random.default_rng(0))
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    before = _status("VmRSS")
    run = _load(runtime, compiled, model, settings, folder)
    for _ in range(3):
        run(inputs)
    return _status("VmHWM") - before


def _load(
    runtime: str, compiled: Compiled | None, model: ir.Model, settings: Settings, folder: Path
) -> Run:
    if runtime == "tvm" and compiled is not None:
        backend = TvmBackend(folder / "zig")
        return backend.load(compiled, model, threads=settings.threads)
    return _load_peer(runtime, folder / MODEL, settings.threads)


def _load_peer(runtime: str, path: Path, threads: int) -> Run:
    if runtime == "openvino":
        return OpenVinoProgram(path, threads)
    return OrtProgram(path, threads, spin=True)


def _tiny(folder: Path) -> Path:
    """Return the file of a network of one node."""
    x = ir.val("x", ir.DataType.FLOAT, [1])
    node = ir.node("Relu", [x])
    graph = ir.Graph([x], node.outputs, nodes=[node], opset_imports={"": 17}, name="tiny")
    node.outputs[0].name = "y"
    path = folder / "tiny.onnx"
    save_model(ir.Model(graph, ir_version=8), path)
    return path


def _status(key: str) -> int:
    """Return a figure of this process's memory, in bytes."""
    found = re.search(rf"^{key}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Stay on as many processors as there are threads, and hold the lock if there is one."""
    with ExitStack() as stack:
        stack.enter_context(pinned(settings.threads))
        if settings.lock is not None:
            lock = stack.enter_context(settings.lock.open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _apart(task: Callable[..., Any], *args: object) -> Any:
    """Run a function in a process of its own."""
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=logging.disable, initargs=(50,)
    ) as pool:
        return pool.submit(task, *args).result()

"""What would ship, against what a user would pick instead: pairs of runs in one process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import onnx_ir as ir

from suture.codegen.backend.base import Run
from suture.codegen.backend.openvino import OpenVinoProgram
from suture.codegen.backend.ort import MODEL, OrtProgram, write_model
from suture.codegen.measure import Timings, measure, measure_for, pinned
from suture.compiler.cost.records import Records
from suture.compiler.plan.base import INPUT
from suture.compiler.target import Target
from suture.compiler.task import Task
from suture.compiler.verify import Arrays, assert_equal, max_abs_error, run_reference
from suture.driver.building import answered_anew
from suture.driver.cases import open_model
from suture.driver.compiling import expected_answer
from suture.driver.options import Case, Options, Say
from suture.driver.planning import plan_task
from suture.driver.rewriting import Rewritten, rewrite
from suture.driver.trial import Trial, decide
from suture.errors import BackendError, Location, RequestError
from suture.passes.base import PassContext

Peer = Literal["ort", "openvino"]
OURS = "suture"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Times of a program and of a peer that computes the same.

    Attributes:
        name: The task or the model.
        backend: The backend that would ship.
        reason: Why that one.
        peer: The runtime it was compared with.
        threads: Threads of either, each on a processor of its own.
        timings: Of both.
        max_abs_err: Greatest difference of our answer from the reference.
    """

    name: str
    backend: str
    reason: str
    peer: Peer
    threads: int
    timings: Timings
    max_abs_err: float

    @property
    def suture_ms(self) -> float:
        """Median time of one run of what would ship."""
        return self.timings.median_ms[OURS]

    @property
    def peer_ms(self) -> float:
        """Median time of one run of the peer."""
        return self.timings.median_ms[self.peer]

    @property
    def ratio(self) -> float:
        """Median over the pairs of our time by the peer's; below 1 ours is faster."""
        return self.timings.ratio(OURS, self.peer)

    @property
    def pairs(self) -> int:
        """How many pairs of runs were timed."""
        return len(self.timings.rounds_ms[OURS])


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is compared.

    Attributes:
        name: The task or the model.
        model: What the peer reads as it is.
        inputs: A request, as arrays by input name.
        expected: What everyone must answer to it.
        context: What passes may know, but for the target and the cost of nodes.
    """

    name: str
    model: ir.Model
    inputs: Arrays
    expected: Arrays
    context: PassContext = field(default_factory=PassContext)


@dataclass(frozen=True, kw_only=True)
class Contest:
    """How to compare.

    Attributes:
        peer: The runtime to compare with.
        threads: Threads of either; None takes as many as the target's memory buys.
        seconds: How long to time the pairs.
        options: How to build what would ship.
    """

    peer: Peer
    threads: int | None
    seconds: float
    options: Options


def bench_task(
    task: Task, request: Path | None, contest: Contest, *, records: Records, say: Say
) -> Comparison:
    """Plan a task, and compare the chosen plan's program on its first target.

    Raises:
        SutureError: Something on the way does not work; see ``plan_task`` and ``compare``.
    """
    subject = task_subject(task, request, records=records, say=say)
    return compare(subject, task.targets[0], contest, say=say)


def bench_model(
    path: Path,
    target: Target,
    contest: Contest,
    *,
    bind: Mapping[str, Sequence[int]],
    inputs: Path | None,
    say: Say,
) -> Comparison:
    """Compare the program of one model.

    Args:
        path: The ONNX file.
        target: Where it will run.
        contest: How to compare.
        bind: Sizes of free dimensions.
        inputs: Arrays to run with, see ``open_model``.
        say: Told of each stage.

    Raises:
        SutureError: Something on the way does not work; see ``open_model`` and ``compare``.
    """
    subject = model_subject(path, bind=bind, inputs=inputs)
    return compare(subject, target, contest, say=say)


def task_subject(task: Task, request: Path | None, *, records: Records, say: Say) -> Subject:
    """Return what a task's chosen plan computes.

    Raises:
        SutureError: See ``plan_task``.
    """
    planned = plan_task(task, request, records=records, say=say)
    say(f"plan: {planned.chosen.estimate.plan.name}")
    return Subject(
        name=task.name,
        model=planned.model,
        inputs={INPUT: planned.sample},
        expected=expected_answer(planned),
        context=planned.context(task.targets[0]),
    )


def model_subject(
    path: Path, *, bind: Mapping[str, Sequence[int]], inputs: Path | None
) -> Subject:
    """Return one model, with a request for it; see ``open_model``."""
    model, feed = open_model(path, bind=bind, inputs=inputs)
    expected = run_reference(model, feed)
    return Subject(name=path.stem, model=model, inputs=feed, expected=expected)


def compare(subject: Subject, target: Target, contest: Contest, *, say: Say) -> Comparison:
    """Build what would ship, and run it in turn with a peer.

    Args:
        subject: What to compare.
        target: Where it will run.
        contest: How to compare.
        say: Told of each stage.

    Raises:
        RequestError: This process may not use as many processors as there are threads, or the
            target is of another architecture.
        BackendError: The peer is not installed or does not take the model, or no backend
            holds it.
        VerifyError: One of them answers something else.
    """
    target = timed_here(target, contest.threads)
    peer, inputs = contest.peer, subject.inputs
    with (
        tempfile.TemporaryDirectory(prefix="suture-bench-") as name,
        on_processors(target.threads),
    ):
        folder = Path(name)
        rival = _load_peer(peer, subject, folder, target.threads)
        assert_equal(subject.expected, rival(inputs), what=peer)
        say(f"peer: {peer} holds the model")
        ready = make_ready(subject, target, folder, contest.options, say=say)
        error = max_abs_error(subject.expected, ready.run(inputs))
        timings = measure_for(contest.seconds, {OURS: ready.run, peer: rival}, inputs)
    return Comparison(
        name=subject.name,
        backend=ready.backend,
        reason=ready.reason,
        peer=peer,
        threads=target.threads,
        timings=timings,
        max_abs_err=error,
    )


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What would ship, in memory.

    Attributes:
        model: The model as the passes left it.
        rewritten: What the passes did.
        backend: The backend.
        reason: Why that one.
        run: The program.
    """

    model: ir.Model
    rewritten: Rewritten
    backend: str
    reason: str
    run: Run


def make_ready(
    subject: Subject, target: Target, folder: Path, options: Options, *, say: Say
) -> Ready:
    """Rewrite and compile as a build does, and load the better backend's program.

    Args:
        subject: What to compile.
        target: Where it will run, which is here.
        folder: Folder for what backends build; it must stay while the program is used.
        options: What the user asked for.
        say: Told of each stage.

    Raises:
        SutureError: See ``rewrite`` and ``Trial.compile``.
    """
    model = subject.model.clone()
    context = replace(subject.context, target=target, cost=options.cost_of(target))
    rewritten = rewrite(model, subject.inputs, options.rewriting, context=context)
    cases: Sequence[Case] = [Case(inputs=subject.inputs, expected=subject.expected)]
    if not rewritten.exact:
        cases = answered_anew(model, cases)
    trial = Trial(model, cases, target, folder, options)
    trial.compile(say)
    timings = measure(trial.runs, subject.inputs, rounds=options.rounds)
    backend, reason = decide([timings], trial.failures, options.backend, target)
    say(f"backend: {backend}, {reason}")
    return Ready(
        model=model,
        rewritten=rewritten,
        backend=backend,
        reason=reason,
        run=trial.runs[backend],
    )


def timed_here(target: Target, threads: int | None) -> Target:
    """Return a target with as many threads as asked for.

    Raises:
        RequestError: This machine cannot time its programs.
    """
    if not target.runs_here:
        raise RequestError(
            f"this machine cannot time programs for {target.arch}",
            at=Location(target.name),
            hint="give a target of this machine's architecture with --target",
        )
    return target if threads is None else target.with_threads(threads)


def _load_peer(peer: Peer, subject: Subject, folder: Path, threads: int) -> Run:
    """Return a model in a peer, as a user would load it."""
    path = write_model(subject.model, folder)[MODEL]
    try:
        if peer == "openvino":
            return OpenVinoProgram(path, threads)
        return OrtProgram(path, threads, spin=True)
    except BackendError as error:
        hint = error.hint or "compare with another peer: --against"
        raise BackendError(error.message, at=Location(subject.name), hint=hint) from error


@contextmanager
def on_processors(threads: int) -> Iterator[None]:
    """Stay on as many processors as there are threads; see ``pinned``."""
    allowed = len(os.sched_getaffinity(0))
    if threads > allowed:
        raise RequestError(
            f"{threads} threads, and this process may use {allowed} processors",
            at=Location("--threads"),
            hint=f"give at most --threads {allowed}",
        )
    with pinned(threads):
        yield

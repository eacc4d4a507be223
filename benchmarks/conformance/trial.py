"""What became of a case: one run of it in each mode.

A case is compiled by TVM together with others into one library of many programs, as the sizes
of one model are: linking takes longer than all the rest.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import tvm_ffi
from cases import Case
from onnx.backend.test.runner import Runner

from suture.codegen.aot import AotPlan
from suture.codegen.backend.base import Program
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import ports
from suture.codegen.build import build_parts
from suture.codegen.link import link_library
from suture.codegen.lower import Lowered, lower
from suture.codegen.native import NativeProgram
from suture.codegen.phases import Phases
from suture.codegen.processor import known
from suture.codegen.specialise import share
from suture.codegen.walk import plan_program
from suture.compiler.model import from_proto, model_bytes
from suture.compiler.target import Target
from suture.compiler.verify import assert_equal
from suture.driver.onnx_backend import check_answers, fitted, named_inputs
from suture.errors import SutureError, VerifyError
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

PASSED, REJECTED, WRONG = "passed", "rejected", "wrong"
PLAIN = "onnxruntime"
ROUNDING = 1e-5
"""Of a tensor's greatest magnitude."""
MODES = ("tvm", "ort", "auto")
SUFFIX = "+exact"
"""Of a mode's name where every exact pass is on."""


@dataclass(frozen=True)
class Outcome:
    """How one mode took a case; the reason is empty where it passed."""

    status: str
    reason: str = ""


@dataclass(kw_only=True)
class Draft:
    """One model of a case on its way through TVM: as it came, or rewritten by the passes.

    Attributes:
        case: The case.
        model: The model.
        suffix: Of the names of its modes.
        outcomes: What became of it so far, by mode.
        lowered: For each request, what TVM made of the model; equal sizes share one.
        plans: The same, planned.
        programs: The same, with names.
    """

    case: Case
    model: ir.Model
    suffix: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    lowered: list[Lowered] = field(default_factory=list)
    plans: list[AotPlan] = field(default_factory=list)
    programs: list[Program] = field(default_factory=list)

    def attempt(self, mode: str, step: Callable[[], Any]) -> Any:
        """Return what a step returns, or None where the mode ends with it."""
        try:
            return step()
        except SutureError as error:
            self.outcomes[mode] = Outcome(REJECTED, one_line(error.message))
        except AssertionError as error:
            self.outcomes[mode] = Outcome(WRONG, f"differs: {one_line(str(error))}")
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno}"
            told = f"{type(error).__name__} at {place}: {one_line(str(error))}"
            self.outcomes[mode] = Outcome(WRONG, told)
        return None

    def draft(self, target: Target) -> None:
        """Lower and plan a program for each request."""
        for inputs, _ in self.case.requests:
            model = fitted(self.model, named_inputs(self.model, inputs))
            lowered = lower(model, target)
            plan = plan_program(lowered)
            self.programs.append(ports(model, plan))
            self.lowered.append(lowered)
            self.plans.append(plan)

    def check(self, runs: Sequence[Callable[[Mapping[str, Any]], Mapping[str, Any]]]) -> list:
        """Run every request; return the answers.

        Raises:
            AssertionError: One differs from what the suite expects.
        """
        found = []
        for run, (inputs, wanted) in zip(runs, self.case.requests, strict=True):
            answers = run(named_inputs(self.model, inputs))
            found.append(answers)
            compare(self.case, wanted, list(answers.values()))
        return found


def one_line(text: str) -> str:
    """Return a text's words in one line, as far as a table has room."""
    return " ".join(text.split())[:300]


def compare(case: Case, wanted: Sequence[Any], answers: Sequence[Any]) -> None:
    """Compare answers by the suite's own rules; roundings are no difference.

    The suite compares element by element. What is off by less than ``ROUNDING`` of its
    tensor's magnitude, or by four roundings of its type, is right as well: a sum in another
    order, a zero of a Fourier transform.

    Raises:
        AssertionError: They differ.
    """
    wanted, answers = flat(wanted), flat(answers)
    try:
        Runner.assert_similar_outputs(wanted, answers, rtol=case.rtol, atol=case.atol)
    except AssertionError as error:
        if not all(isinstance(each, np.ndarray) for each in (*wanted, *answers)):
            raise
        named = [{str(n): each for n, each in enumerate(side)} for side in (wanted, answers)]
        if len(wanted) != len(answers) or any(each.dtype.kind != "f" for each in wanted):
            raise
        try:
            assert_equal(named[0], named[1], what=case.name, rtol=ROUNDING)
        except VerifyError:
            raise error from None


def flat(values: Sequence[Any]) -> list[Any]:
    """Return values with the members of sequences one after the other, and how many."""
    made: list[Any] = []
    for value in values:
        made += [*flat(value), np.asarray(len(value))] if isinstance(value, list) else [value]
    return made


def run_plain(case: Case) -> Outcome:
    """Return how ONNX Runtime by itself takes a case."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            case.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [value.name for value in session.get_inputs()]
        for inputs, wanted in case.requests:
            given = (np.asarray(v) if isinstance(v, np.generic) else v for v in inputs)
            answers = session.run(None, dict(zip(names, given, strict=True)))
            compare(case, wanted, answers)
    except AssertionError as error:
        return Outcome(WRONG, f"differs: {one_line(str(error))}")
    except Exception as error:
        return Outcome(REJECTED, one_line(str(error)))
    return Outcome(PASSED)


def run_ort(draft: Draft, target: Target) -> Outcome:
    """Return how the backend ``ort`` takes a model."""

    def step() -> Outcome:
        with tempfile.TemporaryDirectory(prefix="suture-conformance-") as folder:
            backend = OrtBackend()
            compiled = backend.compile(draft.model.clone(), target, Path(folder))
            run = backend.load(compiled, draft.model, threads=1)
            draft.check([run] * len(draft.case.requests))
        return Outcome(PASSED)

    return draft.attempt("ort", step) or draft.outcomes["ort"]


class Batch:
    """Cases that are compiled together.

    Args:
        cases: The cases.
        target: A target of this machine.
        cache: Folder for Zig's cache.
        at: Told of the case that the next step is about; None where it is about all.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        target: Target,
        cache: Path,
        at: Callable[[Case | None], None],
    ) -> None:
        self._cases, self._cache, self._at = cases, cache, at
        self._target, _ = known(target)

    def run(self) -> dict[str, dict[str, Outcome]]:
        """Return the outcomes of each case by mode."""
        found: dict[str, dict[str, Outcome]] = {}
        drafts = []
        for case in self._cases:
            self._at(case)
            found[case.name] = {PLAIN: run_plain(case)}
            drafts += read_drafts(case, found[case.name])
        for draft in drafts:
            self._at(draft.case)
            draft.outcomes["ort"] = run_ort(draft, self._target)
            draft.attempt("tvm", lambda draft=draft: draft.draft(self._target))
        with tempfile.TemporaryDirectory(prefix="suture-conformance-") as folder:
            self._run([d for d in drafts if "tvm" not in d.outcomes], Path(folder))
        for draft in drafts:
            draft.outcomes.setdefault("auto", draft.outcomes["ort"])
            mine = {mode + draft.suffix: outcome for mode, outcome in draft.outcomes.items()}
            found[draft.case.name] |= mine
        for mine in found.values():
            for mode in MODES:  # where the passes change nothing
                mine.setdefault(mode + SUFFIX, mine[mode])
        return found

    def _run(self, drafts: list[Draft], folder: Path) -> None:
        """Compile and run what TVM holds."""
        self._at(None)
        try:
            library, numbers = self._build(drafts, folder)
        except Exception:
            for draft in drafts:
                self._at(draft.case)
                draft.attempt("tvm", lambda draft=draft: self._build([draft], folder))
            self._at(None)
            drafts = [draft for draft in drafts if "tvm" not in draft.outcomes]
            library, numbers = self._build(drafts, folder)
        for draft in drafts:
            self._at(draft.case)
            mine = [(numbers.pop(0), program) for program in draft.programs]
            draft.attempt("tvm", lambda d=draft, p=mine: run_tvm(d, library, p))

    def _build(self, drafts: Sequence[Draft], folder: Path) -> tuple[Path, list[int]]:
        """Return a library, and which of its programs each plan is: equal ones are one."""
        lowered, plans, numbers = distinct(
            [each for draft in drafts for each in draft.lowered],
            [each for draft in drafts for each in draft.plans],
        )
        if not plans:
            return folder, numbers
        shared = share(lowered, plans)
        folder = Path(tempfile.mkdtemp(dir=folder))  # a loader keeps files of one name
        parts = build_parts(shared, self._target, workdir=folder, phases=Phases())
        return link_library(parts, self._target, cache=self._cache), numbers


def distinct(
    lowered: Sequence[Lowered], plans: Sequence[AotPlan]
) -> tuple[list[Lowered], list[AotPlan], list[int]]:
    """Return programs without those equal to an earlier one, and the place of each.

    Passes often rewrite a model to what is prepared of it for TVM in any case.
    """
    kept: list[Lowered] = []
    places: dict[AotPlan, list[int]] = {}
    numbers = []
    for mine, plan in zip(lowered, plans, strict=True):
        same = places.setdefault(plan, [])
        equal = [
            number
            for number in same
            if all(
                tvm_ffi.structural_equal(mine.module[name], kept[number].module[name])
                for name in plan.kernels
            )
        ]
        if not equal:
            equal = [len(kept)]
            same.append(len(kept))
            kept.append(mine)
        numbers.append(equal[0])
    ordered = {number: plan for plan, mine in places.items() for number in mine}
    return kept, [ordered[number] for number in range(len(kept))], numbers


def read_drafts(case: Case, outcomes: dict[str, Outcome]) -> list[Draft]:
    """Return a case's model, and another draft where the passes rewrite it.

    Args:
        case: The case.
        outcomes: Where what ends here is put, by mode.
    """
    copy = onnx.ModelProto.FromString(case.model.SerializeToString())
    try:
        model = from_proto(copy, case.name)
    except SutureError as error:
        for mode in MODES:
            outcomes[mode] = Outcome(REJECTED, one_line(error.message))
        return []
    drafts = [Draft(case=case, model=model, suffix="")]
    rewritten = model.clone()
    try:
        PassManager(parse_pipeline("exact")).run(rewritten)
    except Exception as error:
        for mode in MODES:
            outcomes[mode + SUFFIX] = Outcome(WRONG, f"passes: {one_line(str(error))}")
        return drafts
    if model_bytes(rewritten) != model_bytes(model):
        drafts.append(Draft(case=case, model=rewritten, suffix=SUFFIX))
    return drafts


def run_tvm(draft: Draft, library: Path, programs: Sequence[tuple[int, Program]]) -> None:
    """Run what TVM made of a model, and decide whether ``auto`` would ship it."""
    runs = [
        NativeProgram(library, program.inputs, program.outputs, number=number)
        for number, program in programs
    ]
    requests = [named_inputs(draft.model, inputs) for inputs, _ in draft.case.requests]
    answers = [run(request) for run, request in zip(runs, requests, strict=True)]
    try:
        draft.check([lambda _, found=found: found for found in answers])
        draft.outcomes["tvm"] = Outcome(PASSED)
    except AssertionError as error:
        draft.outcomes["tvm"] = Outcome(WRONG, f"differs: {one_line(str(error))}")
    try:
        for request, found in zip(requests, answers, strict=True):
            check_answers(draft.model, request, found)
    except SutureError:
        return
    draft.outcomes["auto"] = draft.outcomes["tvm"]

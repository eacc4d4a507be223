"""Watch a pipeline: verify each step numerically, keep each step's model, take its measure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx_ir as ir

from suture.compiler.model import save_model
from suture.compiler.verify import RTOL, Arrays, assert_equal, run_reference
from suture.errors import Location, SutureError, VerifyError
from suture.passes.base import GraphPass
from suture.passes.blame import first_difference
from suture.passes.manager import PassRecord
from suture.passes.order import name_of


@dataclass
class VerifyingObserver:
    """Runs the model on the same inputs before and after each pass.

    Also after one that reports no change: its word is what is being checked. Of a pass that
    is not exact, shapes and types of the answers are compared, and that no number is lost.

    Attributes:
        inputs: Inputs by name, real or seeded.
        rtol: Largest difference as a fraction of an output's magnitude.
        worst: The greatest difference seen so far, of exact passes.
        seconds: Time that verifying took.
    """

    inputs: Arrays
    rtol: float = RTOL
    worst: float = 0.0
    seconds: float = 0.0
    _answers: Arrays | None = field(default=None, repr=False)
    _model: ir.Model | None = field(default=None, repr=False)

    def before(self, graph_pass: GraphPass, model: ir.Model) -> None:
        """Compute the answers, unless those after the last pass are known."""
        began = time.perf_counter()
        if self._answers is None:
            self._answers = run_reference(model, self.inputs)
        self._model = model.clone()  # the graph; weights are shared
        self.seconds += time.perf_counter() - began

    def after(self, graph_pass: GraphPass, model: ir.Model, record: PassRecord) -> None:
        """Compute the answers anew and compare."""
        began = time.perf_counter()
        assert self._answers is not None
        assert self._model is not None
        try:
            answers, known = run_reference(model, self.inputs), self._answers
            if graph_pass.narrows:
                known = {name: known[name] for name in answers}
            if graph_pass.exact:
                found = assert_equal(known, answers, what=record.name, rtol=self.rtol)
                self.worst = max(self.worst, found)
            else:
                _check_form(known, answers, record.name, fewer=graph_pass.narrows)
        except SutureError as error:
            node = first_difference(self._model, model, self.inputs, rtol=self.rtol)
            raise VerifyError(
                f"the pass changes the answer: {error.message}",
                at=Location(record.name, node, error.at.value if error.at else None),
                hint="leave the pass out with --passes, and report it with the model",
            ) from error
        self._answers, self._model = answers, None
        self.seconds += time.perf_counter() - began


def _check_form(expected: Arrays, actual: Arrays, what: str, *, fewer: bool) -> None:
    """Raise ``VerifyError`` where answers have another form, or numbers were lost.

    Args:
        expected: By name.
        actual: By name.
        what: The pass.
        fewer: Whether there may be fewer numbers along an axis.
    """
    for name, want in expected.items():
        got = actual.get(name)
        if (
            got is None
            or got.dtype != want.dtype
            or got.ndim != want.ndim
            or (got.shape != want.shape and not (fewer and got.size < want.size))
        ):
            found = "nothing" if got is None else f"{got.dtype}{list(got.shape)}"
            raise VerifyError(
                f"{found} instead of {want.dtype}{list(want.shape)}",
                at=Location(what, None, name),
            )
        if want.dtype.kind == "f" and np.isfinite(want).all() > np.isfinite(got).all():
            raise VerifyError("numbers are no longer finite", at=Location(what, None, name))


@dataclass
class DumpingObserver:
    """Writes ``NN-pass-name.onnx`` after each pass."""

    folder: Path
    count: int = 0

    def before(self, graph_pass: GraphPass, model: ir.Model) -> None:
        """Write the model as it enters the pipeline."""
        if self.count == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_model(model, self.folder / "00-input.onnx")

    def after(self, graph_pass: GraphPass, model: ir.Model, record: PassRecord) -> None:
        """Write the model as the pass left it."""
        self.count += 1
        save_model(model, self.folder / f"{self.count:02d}-{name_of(graph_pass)}.onnx")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What one pass cost and changed.

    Attributes:
        name: The pass as its spec.
        seconds: Its time, as the record has it.
        operators: How many nodes of each operator came, or went where negative.
        weight_bytes: Bytes of constants that came, or went where negative.
    """

    name: str
    seconds: float
    operators: Mapping[str, int]
    weight_bytes: int


@dataclass
class MeasuringObserver:
    """Notes the time of each pass, and counts operators and bytes of constants around it."""

    found: list[Measure] = field(default_factory=list)
    _operators: Counter[str] = field(default_factory=Counter, repr=False)
    _weight_bytes: int = 0

    def before(self, graph_pass: GraphPass, model: ir.Model) -> None:
        """Count what is there."""
        self._operators, self._weight_bytes = _operators(model), _weight_bytes(model)

    def after(self, graph_pass: GraphPass, model: ir.Model, record: PassRecord) -> None:
        """Count again."""
        operators = _operators(model)
        operators.subtract(self._operators)
        self.found.append(
            Measure(
                name=record.name,
                seconds=record.seconds,
                operators={name: n for name, n in sorted(operators.items()) if n},
                weight_bytes=_weight_bytes(model) - self._weight_bytes,
            )
        )


def _operators(model: ir.Model) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.all_nodes())


def _weight_bytes(model: ir.Model) -> int:
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)

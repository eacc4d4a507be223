"""Watch a pipeline: verify each step numerically, or keep each step's model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir

from suture.compiler.model import save_model
from suture.compiler.verify import RTOL, Arrays, assert_equal, run_reference
from suture.errors import Location, SutureError, VerifyError
from suture.passes.base import GraphPass
from suture.passes.manager import PassRecord


@dataclass
class VerifyingObserver:
    """Runs the model on the same inputs before and after each pass.

    Also after one that reports no change: its word is what is being checked.

    Attributes:
        inputs: Inputs by name, real or seeded.
        rtol: Largest difference as a fraction of an output's magnitude.
        worst: The greatest difference seen so far.
    """

    inputs: Arrays
    rtol: float = RTOL
    worst: float = 0.0
    _before: Arrays | None = field(default=None, repr=False)

    def before(self, graph_pass: GraphPass, model: ir.Model) -> None:
        """Compute the answers, unless those after the last pass are known."""
        if self._before is None:
            self._before = run_reference(model, self.inputs)

    def after(self, graph_pass: GraphPass, model: ir.Model, record: PassRecord) -> None:
        """Compute the answers anew and compare."""
        assert self._before is not None
        try:
            answers = run_reference(model, self.inputs)
            self.worst = max(
                self.worst,
                assert_equal(self._before, answers, what=record.name, rtol=self.rtol),
            )
        except SutureError as error:
            raise VerifyError(
                f"the pass changes the answer: {error.message}",
                at=Location(record.name, None, error.at.value if error.at else None),
                hint="leave the pass out with --passes, and report it with the model",
            ) from error
        self._before = answers


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
        name = str(graph_pass).partition("{")[0]
        save_model(model, self.folder / f"{self.count:02d}-{name}.onnx")

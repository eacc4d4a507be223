"""In which order units go into 8 bits: by the noise that each alone makes, for its work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.intermediate import observe
from suture.passes.quantize.calibration import Range
from suture.passes.quantize.candidates import Unit
from suture.passes.quantize.writing import Numbers, quantize

SAMPLES = 32
"""Requests to compare answers of, at most."""

RUNS = 256
"""Runs for all units together, at most, as long as each has ``FEWEST``: of many units, each is
compared on fewer requests. The noise is a mean over all entries of the answer as well."""

FEWEST = 4

SHARPENING = ("ArgMax", "ArgMin", "Cast", "Softmax", "LogSoftmax", "Sigmoid", "TopK")
"""Operators behind which it can no longer be seen how far an answer has moved."""


@dataclass(frozen=True)
class Noise:
    """A unit, and what its rounding does to the answer.

    Attributes:
        unit: The unit.
        power: Mean square of the change, by that of what is answered.
    """

    unit: Unit
    power: float

    @property
    def sqnr_db(self) -> float:
        """The answer's power by the noise's, in decibels."""
        return float(-10 * np.log10(self.power)) if self.power > 0 else float("inf")

    @property
    def cost(self) -> float:
        """Noise for each operation that goes into 8 bits."""
        return self.power / max(1, self.unit.flops)


def in_order(
    model: ir.Model,
    units: Sequence[Unit],
    ranges: dict[str, Range],
    numbers: Numbers,
    requests: Sequence[Arrays],
) -> list[Noise]:
    """Return units with their noise, those first that cost the least for their work.

    Noise of several adds up about as if each were alone: what they round is hardly correlated.
    """
    name = answer_name(model)
    requests = requests[: max(FEWEST, RUNS // max(1, len(units)))]
    if name is None:
        noises = [Noise(unit, 0.0) for unit in units]
    else:
        whole = _answers(model, name, requests)
        power = max(float(np.square(whole).mean()), float(np.finfo(np.float32).tiny))
        noises = []
        for unit in units:
            copy = model.clone()
            quantize(copy, [unit], ranges, numbers)
            moved = _answers(copy, name, requests) - whole
            noises.append(Noise(unit, float(np.square(moved).mean()) / power))
    return sorted(noises, key=lambda noise: (noise.cost, noise.unit.nodes))


def answer_name(model: ir.Model) -> str | None:
    """Return the float value that the first output is made from, or None."""
    value: ir.Value | None = model.graph.outputs[0]
    while value is not None:
        node = value.producer()
        is_float = value.dtype == ir.DataType.FLOAT
        if node is None or (is_float and node.op_type not in SHARPENING):
            break
        value = node.inputs[0] if node.inputs else None
    found = value is not None and value.dtype == ir.DataType.FLOAT and value.producer()
    return str(value.name) if value is not None and found else None


def _answers(
    model: ir.Model, name: str, requests: Sequence[Arrays]
) -> npt.NDArray[np.float64]:
    found = [value for (value,) in observe(model, [name], requests, optimize=False)]
    return np.concatenate([value.astype(np.float64).reshape(-1) for value in found])

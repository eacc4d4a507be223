"""A model looked at, and any number of its units put into 8 bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from suture.compiler.verify import Arrays
from suture.passes.base import Note, note
from suture.passes.quantize.calibration import SAMPLES, Range, find_ranges
from suture.passes.quantize.candidates import Unit, find_units
from suture.passes.quantize.correction import SAMPLES as AVERAGED
from suture.passes.quantize.correction import Means, correct, find_means
from suture.passes.quantize.sensitivity import SAMPLES as COMPARED
from suture.passes.quantize.sensitivity import Noise, in_order
from suture.passes.quantize.writing import Numbers, moves, quantize


@dataclass(frozen=True, kw_only=True)
class Quantizing:
    """What is known of a model before anything is in 8 bits.

    Attributes:
        original: The model.
        order: Units with their noise, those first that cost the least for their work.
        ranges: Of what they read.
        numbers: What numbers become.
        means: Of what they make.
        requests: To correct means with.
        declined: What can never be in 8 bits, and why.
    """

    original: ir.Model
    order: tuple[Noise, ...]
    ranges: Mapping[str, Range]
    numbers: Numbers
    means: Means
    requests: Sequence[Arrays]
    declined: tuple[Note, ...]

    @classmethod
    def of(cls, model: ir.Model, requests: Sequence[Arrays], numbers: Numbers) -> Quantizing:
        """Look at a model with some requests; its constants are initializers."""
        original = model.clone()
        units, declined = find_units(original)
        sources = {unit: _sources(original, unit) for unit in units}
        names = list(dict.fromkeys(name for each in sources.values() for name in each))
        ranges = find_ranges(original, names, requests[:SAMPLES])
        fit = []
        for unit in units:
            unfit = next(filter(None, (ranges[name].unfit for name in sources[unit])), None)
            if unfit is None:
                fit.append(unit)
            else:
                declined += notes(original, unit, unfit)
        order = in_order(original, fit, ranges, numbers, requests[:COMPARED])
        nodes = [node for unit in fit for node in _nodes(original, unit)]
        averaged = requests[:AVERAGED]
        return cls(
            original=original,
            order=tuple(order),
            ranges=ranges,
            numbers=numbers,
            means=find_means(original, nodes, averaged),
            requests=averaged,
            declined=declined,
        )

    def quantize(self, model: ir.Model, count: int) -> ir.Model:
        """Put the first so many units of the model, or of a copy, into 8 bits."""
        units = [each.unit for each in self.order[:count]]
        quantize(model, units, self.ranges, self.numbers)
        correct(model, units, self.means, self.requests)
        return model

    def left(self, count: int) -> tuple[Note, ...]:
        """Return notes on what stays float where the first so many units do not."""
        told = self.declined
        for each in self.order[count:]:
            reason = f"in 8 bits it leaves the answer {each.sqnr_db:.0f} dB over its noise"
            told += notes(self.original, each.unit, reason)
        return told


def notes(model: ir.Model, unit: Unit, reason: str) -> tuple[Note, ...]:
    """Return a note on each node of a unit."""
    return tuple(note(node, reason) for node in _nodes(model, unit))


def _sources(model: ir.Model, unit: Unit) -> list[str]:
    """Return the names of the values whose numbers a unit reads."""
    return [str(moves(node.inputs[0])[0].name) for node in _nodes(model, unit)]


def _nodes(model: ir.Model, unit: Unit) -> list[ir.Node]:
    return [node for node in model.graph if node.outputs[0].name in unit.nodes]

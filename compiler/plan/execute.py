"""Run the components of plans one after the other in ONNX Runtime: the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.component import Component, Port
from suture.compiler.link import open_step
from suture.compiler.model import infer_shapes
from suture.compiler.plan.base import INPUT, Plan, Step
from suture.compiler.session import open_session

Array = npt.NDArray[Any]
Samples = Sequence[Array]

BATCH = 64


@dataclass
class Executor:
    """Runs plans over a set of samples; what two plans have in common runs once.

    Attributes:
        components: By ``name@version``.
        entry: The task's input with the samples' shape.
        samples: The inputs, one array a request.
        threads: Threads of ONNX Runtime.
    """

    components: Mapping[str, Component]
    entry: Port
    samples: Samples
    threads: int = 1
    _known: dict[object, tuple[list[Array], Port]] = field(default_factory=dict)

    def run(self, plan: Plan) -> list[Array]:
        """Return the plan's output for each sample.

        Raises:
            LinkError: Ports do not fit.
            BackendError: ONNX Runtime cannot run a step.
        """
        feeds = {(edge.sink, edge.input): (edge.source, edge.output) for edge in plan.edges}
        keys: dict[tuple[str, str], object] = {(INPUT, INPUT): INPUT}
        self._known[INPUT] = (list(self.samples), self.entry)
        for step in plan.order():
            incoming = {
                name: keys[source] for (sink, name), source in feeds.items() if sink == step.id
            }
            for port in self._run_step(step, incoming):
                keys[step.id, port] = (step.ref, tuple(sorted(incoming.items())), port)
        return self._known[keys[plan.output]][0]

    def _run_step(self, step: Step, incoming: Mapping[str, object]) -> tuple[str, ...]:
        """Run one step unless an equal one has run, and return the names of its outputs."""
        ports = {name: self._known[key][1] for name, key in incoming.items()}
        model, outputs = open_step(step, self.components, ports)
        stem = (step.ref, tuple(sorted(incoming.items())))
        names = tuple(port.name for port in outputs)
        if (*stem, names[0]) in self._known:
            return names
        columns = {name: self._known[key][0] for name, key in incoming.items()}
        results = self._columns(model, columns, step, ports)
        for port, value in zip(outputs, results, strict=True):
            self._known[(*stem, port.name)] = (value, port)
        return names

    def _columns(
        self,
        model: ir.Model,
        columns: Mapping[str, Samples],
        step: Step,
        ports: Mapping[str, Port],
    ) -> list[list[Array]]:
        """Run a model on each sample, in batches where its first axis is free for that."""
        size = BATCH if self._batches(step, ports) else 1
        if size > 1:
            for value in model.graph.inputs:
                assert value.shape is not None
                value.shape = ir.Shape(["batch", *value.shape[1:]])
        infer_shapes(model)
        session = open_session(model, threads=self.threads)
        results: list[list[Array]] = [[] for _ in model.graph.outputs]
        for start in range(0, len(self.samples), size):
            feed = {
                name: column[start]
                if size == 1
                else np.concatenate(column[start : start + size])
                for name, column in columns.items()
            }
            for result, array in zip(results, session.run(None, feed), strict=True):
                result.extend([array] if size == 1 else np.split(array, len(array)))
        return results

    def _batches(self, step: Step, ports: Mapping[str, Port]) -> bool:
        """Whether a component's ports all leave the same first axis free, and it is 1 here.

        What is longer than 1 may be a sequence: samples must not be strung together.
        """
        if step.adapter or any(port.shape[:1] != (1,) for port in ports.values()):
            return False
        component = self.components[step.ref]
        declared = (*component.inputs, *component.outputs)
        first = {port.shape[0] if port.shape else None for port in declared}
        return len(first) == 1 and isinstance(first.pop(), str)

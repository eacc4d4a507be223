"""A model run once on some requests, with stops on the way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.compiler.session import open_session
from suture.compiler.verify import Arrays

Array = npt.NDArray[Any]


class Walk:
    """Runs a model's nodes in order, each once, for all requests side by side.

    What comes after a stop may be changed there, so that correcting node after node takes as
    long as one run, not as one run for each node; a node that was only tried may be changed
    itself. Of every request, only what is still to be read is kept.

    Args:
        model: The model; where its walk has been, it must stay as it was.
        requests: Arrays by input name.
    """

    def __init__(self, model: ir.Model, requests: Sequence[Arrays]) -> None:
        self._model = model
        self._nodes = list(model.graph)
        self._at = 0
        inputs = {str(value.name) for value in model.graph.inputs}
        self._live: list[dict[str, Array]] = [
            {name: np.asarray(each[name]) for name in inputs & each.keys()}
            for each in requests
        ]

    def until(self, node: ir.Node) -> list[Array]:
        """Run what comes up to a node, and return its first output for each request."""
        stop = self._nodes.index(node) + 1
        name = str(node.outputs[0].name)
        if stop > self._at:
            self._run(self._nodes[self._at : stop], name)
            self._at = stop
        return [values[name] for values in self._live]

    def trial(self, node: ir.Node) -> Iterator[tuple[Array, Array]]:
        """Run what comes before a node, and yield what it reads first and makes of it.

        The node's own results are not kept: it runs again, as it is by then, when the walk
        goes on.
        """
        before, made = (str(each.name) for each in (node.inputs[0], node.outputs[0]) if each)
        stop = self._nodes.index(node)
        if stop > self._at:
            self._run(self._nodes[self._at : stop], before)
            self._at = stop
        session = open_session(self._part([made]), optimize=False)
        inputs = [value.name for value in session.get_inputs()]
        for values in self._live:
            (found,) = session.run([made], {name: values[name] for name in inputs})
            yield values[before], found

    def add(self, node: ir.Node, by: Array) -> None:
        """Add to the first output of the node of the last stop, whose bias has moved."""
        name = str(node.outputs[0].name)
        for values in self._live:
            values[name] = (values[name] + by).astype(values[name].dtype)

    def _run(self, nodes: Sequence[ir.Node], target: str) -> None:
        """Run nodes, and keep what others will read and what is asked for."""
        done = {*self._nodes[: self._at], *nodes}
        made = {
            str(value.name): value for node in nodes for value in node.outputs if value.name
        }
        later = [
            name for name, value in made.items() if name == target or _is_read(value, done)
        ]
        part = self._part(later)
        session = open_session(part, optimize=False)
        inputs = [value.name for value in session.get_inputs()]
        for values in self._live:
            found = session.run(later, {name: values[name] for name in inputs})
            values.update(zip(later, found, strict=True))
        known = {str(value.name): value for value in self._model.graph.inputs}
        known.update((str(v.name), v) for node in done for v in node.outputs)
        for name in list(self._live[0]) if self._live else []:
            if name != target and not _is_read(known[name], done):
                for values in self._live:
                    del values[name]

    def _part(self, wanted: Sequence[str]) -> ir.Model:
        """Return a model that makes some values from those that are known."""
        copy = self._model.clone()
        made = {value.name: value for node in copy.graph for value in node.outputs}
        first = self._live[0] if self._live else {}
        inputs = []
        for name, array in first.items():
            given = ir.Value(
                name=name,
                type=ir.TensorType(ir.DataType.from_numpy(array.dtype)),
                shape=ir.Shape(array.shape),
            )
            old = made.get(name) or next(v for v in copy.graph.inputs if v.name == name)
            old.replace_all_uses_with(given)
            old.name = None if name in made else f"{name}.old"
            inputs.append(given)
        copy.graph.outputs.clear()
        copy.graph.outputs.extend(made[name] for name in wanted)
        ir_passes.RemoveUnusedNodesPass()(copy)
        used = [value for value in inputs if value.uses()]
        copy.graph.inputs.clear()
        copy.graph.inputs.extend(used)
        return copy


def kept_bytes(graph: ir.Graph) -> int:
    """Return the most bytes of one request that a walk keeps, of values of known size."""
    order = {node: at for at, node in enumerate(graph)}
    change = [0] * (len(order) + 2)
    for node, at in order.items():
        for value in node.outputs:
            if value.shape is not None and value.shape.is_static() and value.dtype is not None:
                size = math.prod(value.shape.numpy()) * value.dtype.itemsize
                change[at] += int(size)
                last = max(
                    (order.get(use.node, len(order)) for use in value.uses()), default=at
                )
                change[last + 1] -= int(size)
    return max(itertools.accumulate(change))


def _is_read(value: ir.Value, done: set[ir.Node]) -> bool:
    """Whether a node that has not run reads a value; those inside of others count as such."""
    return any(use.node not in done for use in value.uses())

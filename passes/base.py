"""What a pass is.

A pass rewrites one model. It declares what it needs, says what it did, and says why it
left alone what it left alone; the manager checks all three.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import chain, count
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.cost.nodes import CostOf, by_roofline
from suture.compiler.evaluation import Evaluation
from suture.compiler.profile.base import RequestProfile
from suture.compiler.spec import format_spec
from suture.compiler.target import Target
from suture.errors import Location


@dataclass(frozen=True, kw_only=True)
class PassContext:
    """Facts a pass may read but not change.

    Attributes:
        target: Where the program will run, or None where that is not yet known.
        profile: The kind of request it is for, or None for any.
        evaluation: What accuracy is measured with, or None where nothing is labelled.
        cost: Returns what predicts the time of a model's nodes.
    """

    target: Target | None = None
    profile: RequestProfile | None = None
    evaluation: Evaluation | None = None
    cost: CostOf = by_roofline


@dataclass(frozen=True)
class Note:
    """One rewrite made or declined, and why."""

    at: Location
    reason: str


@dataclass(frozen=True)
class PassResult:
    """A model after a pass, with the pass's account of itself.

    Attributes:
        model: The model.
        made: Rewrites.
        declined: What was left alone.
        evaluation: What accuracy is measured with from now on, where answers are numbered
            anew; None where it stays as it is.
    """

    model: ir.Model
    made: tuple[Note, ...] = ()
    declined: tuple[Note, ...] = ()
    evaluation: Evaluation | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was rewritten."""
        return bool(self.made)


@dataclass(frozen=True)
class GraphPass(ABC):
    """One rewrite of a model, in place.

    Subclasses are frozen dataclasses: their fields are the pass's options, so a pass
    prints as the text that would select it on the command line. Where it may stand in a
    pipeline it declares by names of passes, in which ``*`` stands for any letters.

    Attributes:
        name: The name of its entry point.
        exact: Whether every answer stays as it was, up to rounding. Of a pass that is not,
            whose measure is an accuracy budget, observers check types and shapes only.
        narrows: Whether callers may be answered less afterwards, by the user's own word: not
            all outputs, or not all entries of one. What is left keeps its name and type.
        after: Passes that come before it, where they are in the pipeline at all.
        before: Passes that come after it, likewise.
        needs: Passes without one of which, earlier in the pipeline, it cannot do its work.
    """

    name: ClassVar[str]
    exact: ClassVar[bool] = True
    narrows: ClassVar[bool] = False
    after: ClassVar[tuple[str, ...]] = ()
    before: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()

    def requires(self, model: ir.Model, ctx: PassContext) -> None:  # noqa: B027
        """Raise ``PassError`` if the model is not fit for this pass."""

    @abstractmethod
    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Rewrite the model and return the same object."""

    def ensures(self, result: PassResult, ctx: PassContext) -> None:  # noqa: B027
        """Raise ``PassError`` if the rewrite left a promise unkept."""

    def __str__(self) -> str:
        return format_spec(self.name, self)


def note(node: ir.Node, reason: str) -> Note:
    """Return a note about a node of a graph."""
    graph = node.graph.name if node.graph is not None else None
    return Note(Location(graph or "model", node.name or node.op_type), reason)


def constant_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """Return the numbers of a value that no input can change, or None."""
    if value is None or value.is_graph_input():
        return None
    return ir.convenience.get_const_tensor(value)


class Names:
    """The names that values and nodes of a graph and its subgraphs have.

    Args:
        root: The graph; names given to it later by others are not known.
    """

    def __init__(self, root: ir.Graph) -> None:
        self._taken: set[str | None] = set()
        for graph in (root, *root.subgraphs()):
            self._taken.update(value.name for value in graph.inputs)
            self._taken.update(graph.initializers)
            for node in graph:
                self._taken.add(node.name)
                self._taken.update(value.name for value in node.outputs)

    def free(self, stem: str) -> str:
        """Return the stem, numbered if it is in use; it is in use from now on."""
        numbered = (f"{stem}.{n}" for n in count(1))
        name = next(name for name in chain([stem], numbered) if name not in self._taken)
        self._taken.add(name)
        return name


def add_constant(graph: ir.Graph, name: str, data: npt.NDArray[Any]) -> ir.Value:
    """Return a new initializer of a graph; ``Names`` gives the name."""
    value = ir.Value(
        name=name,
        const_value=ir.tensor(np.asarray(data, order="C"), name=name),
        shape=ir.Shape(data.shape),
        type=ir.TensorType(ir.DataType.from_numpy(data.dtype)),
    )
    graph.register_initializer(value)
    return value


def set_constant(value: ir.Value, array: npt.NDArray[Any]) -> None:
    """Give a constant other numbers, and the shape they have."""
    value.const_value = ir.tensor(np.ascontiguousarray(array), name=value.name)
    value.shape = ir.Shape(array.shape)

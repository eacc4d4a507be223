"""Cut classes that nobody asked for out of a classifier's last layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes

from suture.compiler.evaluation import Evaluation
from suture.errors import Location, PassError
from suture.passes.base import (
    GraphPass,
    Names,
    Note,
    PassContext,
    PassResult,
    add_constant,
)
from suture.passes.prune.channels.groups import ChannelGroups, find_groups
from suture.passes.prune.channels.rules import is_depthwise
from suture.passes.prune.channels.slicing import Mask, cut
from suture.passes.prune.channels.use import Ids
from suture.passes.prune.wanted import read_numbers
from suture.passes.recognise.values import DEFAULT_DOMAINS

LABELS = "labels"
SHARING = ("Softmax", "LogSoftmax")
METADATA = "suture.classes"
"""Key of a model's metadata, with the output's name behind it: the classes it answers."""


@dataclass(frozen=True)
class PruneClasses(GraphPass):
    """Answer some of a classifier's classes only, and compute no more than those.

    Before: ``y = Gemm(h, w, b)`` with 1000 entries, of which ``keep=3+5+8`` are wanted.
    After: the same with 3 entries, those of the classes 3, 5 and 8 in this order, of the
    numbers that they had. A class number that ArgMax answers stays the class's own.
    Probabilities become greater where fewer classes share them: behind a Softmax nothing is
    cut unless ``shared=true`` asks for that, which gives each the probability that it has if
    it is known to be one of those left.

    Attributes:
        keep: Class numbers joined by ``+``, a file of them, or ``labels`` for those that
            occur in the evaluation set; all where it is empty.
        output: Which output; the first where it is empty.
        axis: Along which the classes lie.
        shared: Whether those left may share the probabilities of the others.
    """

    name: ClassVar[str] = "prune-classes"
    exact: ClassVar[bool] = False  # an ArgMax may have answered a class that is gone
    narrows: ClassVar[bool] = True
    after: ClassVar[tuple[str, ...]] = ("prune-outputs",)

    keep: str = ""
    output: str = ""
    axis: int = -1
    shared: bool = False

    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Find what is tied to the other classes, and cut it."""
        if not self.keep:
            nothing = Note(
                Location(model.graph.name or "model"), "no class is named with keep"
            )
            return PassResult(model, declined=(nothing,))
        output, wanted = self._output(model), self._wanted(model, ctx)
        key = f"{METADATA}.{output.name}"
        at = Location(model.graph.name or "model", None, output.name)
        if key in model.metadata_props:
            told = f"it has the classes {model.metadata_props[key]} only"
            return PassResult(model, declined=(Note(at, told),))
        ir_passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        chooser = _chooser(output)
        axis = self.axis if chooser is None else chooser.attributes.get_int("axis", 0)
        answer = output if chooser is None else chooser.inputs[0]
        assert answer is not None
        classes = _size(answer, axis)
        if classes is None:
            told = f"how many classes lie along axis {axis} is not known"
            return PassResult(model, declined=(Note(at, told),))
        scores = _scores(answer, axis) if chooser is not None or self.shared else output
        if wanted[-1] >= classes:
            raise PassError(f"there is no class {wanted[-1]}: it has {classes}", at=at)
        if len(wanted) == classes:
            return PassResult(model, declined=(Note(at, "every class is wanted"),))
        reason = _cut(model, scores, axis, wanted)
        if reason is not None:
            return PassResult(model, declined=(Note(at, reason),))
        model.metadata_props[key] = " ".join(map(str, wanted))
        _resize(answer, scores, axis, len(wanted))
        if chooser is not None:
            _number(chooser, wanted)
        made = Note(at, f"{len(wanted)} of {classes} classes are left")
        is_first = chooser is None and output is model.graph.outputs[0]
        evaluation = _renumbered(ctx.evaluation, wanted) if is_first else None
        return PassResult(model, made=(made,), evaluation=evaluation)

    def _output(self, model: ir.Model) -> ir.Value:
        for value in model.graph.outputs:
            if self.output in ("", value.name):
                return value
        raise PassError(
            f"the model has no output {self.output!r}",
            at=Location(model.graph.name or "model", None, self.output),
        )

    def _wanted(self, model: ir.Model, ctx: PassContext) -> tuple[int, ...]:
        at = Location(model.graph.name or "model", None, "keep")
        if self.keep != LABELS:
            return read_numbers(self.keep, at)
        if ctx.evaluation is None:
            raise PassError(
                "there is no evaluation set whose labels could be kept",
                at=at,
                hint="compile a task with an evaluation set, or list the classes",
            )
        return tuple(map(int, np.unique(ctx.evaluation.labels)))


def _chooser(output: ir.Value) -> ir.Node | None:
    """Return the ArgMax that makes an output, or None."""
    node = output.producer()
    chooses = node is not None and node.op_type == "ArgMax" and node.domain in DEFAULT_DOMAINS
    return node if chooses else None


def _size(value: ir.Value, axis: int) -> int | None:
    """Return a value's size along an axis, or None where it is not known."""
    shape = tuple(value.shape) if value.shape is not None else ()
    size = shape[axis] if -len(shape) <= axis < len(shape) else None
    return size if isinstance(size, int) else None


def _scores(answer: ir.Value, axis: int) -> ir.Value:
    """Return what probabilities along an axis are made from; others come from themselves."""
    value = answer
    while (node := value.producer()) is not None and node.op_type in SHARING:
        (scores,) = node.inputs
        assert scores is not None
        assert value.shape is not None
        same = (node.attributes.get_int("axis", -1) - axis) % len(value.shape) == 0
        if not same or _readers(value) > 1:
            break
        value = scores
    return value


def _readers(value: ir.Value) -> int:
    return len(value.uses()) + value.is_graph_output()


def _resize(answer: ir.Value, scores: ir.Value, axis: int, size: int) -> None:
    """Give probabilities the size of what they are made from."""
    value = answer
    while value is not scores:
        node = value.producer()
        assert node is not None
        assert node.inputs[0] is not None
        assert value.shape is not None
        dims = list(value.shape)
        dims[axis] = size
        value.shape = ir.Shape(dims)
        value = node.inputs[0]


def _cut(model: ir.Model, scores: ir.Value, axis: int, wanted: Sequence[int]) -> str | None:
    """Cut all other classes, in place, or return why they must stay."""
    if _readers(scores) != 1:
        return "others read its classes too"
    groups = find_groups(model, fewer=(scores, axis))
    classes = groups.of(scores)[axis]
    gone = np.zeros(len(groups.free), bool)
    gone[np.delete(classes, wanted)] = True
    for node in model.graph:
        if node.op_type in SHARING and _touches(node.outputs[0], groups, gone):
            return f"fewer classes would share the probabilities of {node.name!r}"
        if gone[summed(node, groups)].any():
            return f"{node.name!r} adds its classes up"
    if gone[classes[list(wanted)]].any():
        return "classes are tied to each other"
    if not groups.free[gone].all():
        return "an operator needs all of its classes"
    values = (*model.graph.initializers.values(), *(v for n in model.graph for v in n.outputs))
    if any(len(each) and gone[each].all() for value in values for each in groups.of(value)):
        return "a whole part of it would be empty"
    cut(model, groups, gone)
    return None


def _touches(value: ir.Value, groups: ChannelGroups, gone: Mask) -> bool:
    return any(gone[axis].any() for axis in groups.of(value))


def summed(node: ir.Node, groups: ChannelGroups) -> Ids:
    """Return the groups over which a node that knows them adds up."""
    data = groups.of(node.inputs[0]) if node.inputs else ()
    if node.op_type == "Attention":
        return np.concatenate([axis for value in node.inputs for axis in groups.of(value)])
    if len(data) < 2 or node.domain not in DEFAULT_DOMAINS:
        return np.zeros(0, np.int64)
    if node.op_type == "Gemm":
        return data[1 - node.attributes.get_int("transA", 0)]
    if node.op_type == "MatMul":
        return data[-1]
    if node.op_type in ("Conv", "ConvTranspose") and not is_depthwise(node, len(data[1])):
        return data[1]
    return np.zeros(0, np.int64)


def _number(chooser: ir.Node, wanted: Sequence[int]) -> None:
    """Let an ArgMax answer the numbers that the classes left had before."""
    graph, old = chooser.graph, chooser.outputs[0]
    assert isinstance(graph, ir.Graph)
    names = Names(graph)
    numbers = add_constant(
        graph, names.free(f"{old.name}.classes"), np.array(wanted, np.int64)
    )
    gather = ir.node(
        "Gather", [numbers, old], {"axis": 0}, name=names.free(f"{old.name}.number")
    )
    (new,) = gather.outputs
    new.name, new.type, new.shape = old.name, old.type, old.shape
    old.name = names.free(f"{old.name}.place")
    graph.insert_after(chooser, gather)
    for use in old.uses():
        if use.node is not gather:
            use.node.replace_input_with(use.idx, new)
    graph.outputs[graph.outputs.index(old)] = new


def _renumbered(evaluation: Evaluation | None, wanted: Sequence[int]) -> Evaluation | None:
    """Return the samples of classes that are left, with the places of these as labels."""
    if evaluation is None:
        return None
    chosen = evaluation.of(np.flatnonzero(np.isin(evaluation.labels, wanted)))
    return replace(chosen, labels=np.searchsorted(wanted, chosen.labels))

"""TVM's importer, with emitters of our own, on a model in the form that it handles best."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir as ir
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from suture.codegen.budget import SizeSpeed, WeightBudget, plan_weights, tell
from suture.codegen.choose.base import Chooser
from suture.codegen.emit.base import Emitter, Operator
from suture.codegen.emit.rule import Rules
from suture.codegen.expand import has_body
from suture.codegen.groups import group
from suture.codegen.phases import Phases
from suture.codegen.prepare import check_operators, prepare
from suture.codegen.schedule.base import Processor
from suture.compiler.model import opset_of
from suture.errors import BackendError, Location

logger = logging.getLogger(__name__)


class ImporterError(BackendError):
    """TVM's importer fails on an operator."""

    operator = ""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A model in Relax.

    Attributes:
        model: What was imported: prepared, and grouped.
        module: What became of it.
        emitter: What emitted its kernels.
        groups: The fusion groups, each as its ONNX operators.
        budget: How many bytes of packed weights each convolution may take.
    """

    model: ir.Model
    module: tvm.IRModule
    emitter: Emitter
    groups: tuple[str, ...]
    budget: WeightBudget


def prepare_and_import(
    model: ir.Model,
    processor: Processor,
    *,
    size_speed: SizeSpeed,
    chooser: Chooser,
    phases: Phases,
) -> Imported:
    """Return a model in Relax; an operator that the importer fails on is written out.

    Raises:
        BackendError: The importer lacks an operator, or fails; names node and operator.
    """
    refused: set[str] = set()
    rules = Rules.installed()
    while True:
        prepared = prepare(model, refused, rules=rules)
        check_operators(prepared, rules)
        groups = group(prepared, rules.matchers)
        budget = plan_weights(prepared, processor, size_speed)
        logger.info("%s", budget)
        tell(prepared, budget)
        emitter = Emitter(relax.BlockBuilder(), processor, chooser, phases, rules.further)
        try:
            module = import_model(prepared, emitter, rules)
        except ImporterError as error:
            if error.operator in refused or not has_body(error.operator, model):
                raise
            refused.add(error.operator)
        else:
            return Imported(
                model=prepared, module=module, emitter=emitter, groups=groups, budget=budget
            )


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer, remembering the node it works on."""

    node: tuple[str, str] | None = None
    emitter: Emitter
    rules: Rules

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        """Leave that to ``check_operators``, which names the node."""

    def _convert_operator(
        self, op_name: str, inputs: Any, attrs: dict[str, Any], opset: int
    ) -> Any:
        self.node = (attrs["tvm_custom"]["name"], op_name)

        def stock(given: Sequence[Any]) -> Any:
            made = onnx_frontend.onnx_input()
            made.extend(given)
            return super(_Importer, self)._convert_operator(op_name, made, dict(attrs), opset)

        if inputs:
            operator = Operator(
                name=op_name, inputs=list(inputs), attributes=attrs, opset=opset, stock=stock
            )
            made = self.rules.emit(self.emitter, operator)
            if made is not None:
                return made
        made = stock(inputs)
        return self.bb.emit(made) if isinstance(made, relax.Call) else made


def import_model(model: ir.Model, emitter: Emitter, rules: Rules) -> tvm.IRModule:
    """Return a prepared and grouped model in Relax, its kernels emitted by rules.

    Raises:
        ImporterError: The importer fails; names node and operator.
    """
    proto = ir.to_proto(model)
    assert isinstance(proto, onnx.ModelProto)
    # Without its shape, the importer takes an axis of no elements for one of unknown size.
    shapes = {
        str(value.name): list(value.shape.numpy())
        for value in model.graph.inputs
        if value.shape is not None and value.shape.is_static()
    }
    importer = _Importer(shapes, "float32")
    importer.bb, importer.emitter, importer.rules = emitter.builder, emitter, rules
    # The importer prints what it fails on, and warns of every name it changes.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importer.from_onnx(proto.graph, opset_of(model))
        except Exception as error:
            name, op = importer.node or ("", "")
            failure = ImporterError(
                f"operator {op!r} cannot be compiled by TVM: "
                f"its importer fails with {type(error).__name__}: {first_line(error)}",
                at=Location(model.graph.name or "model", name),
                hint="use the backend ort",
            )
            failure.operator = op
            raise failure from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says something."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0].strip() if lines else type(error).__name__

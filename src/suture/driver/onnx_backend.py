"""suture as ONNX's own backend interface knows one: ``onnx.backend.base.Backend``.

A program is compiled when the first request shows of which sizes it is to be.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx.backend.base import Backend, BackendRep

from suture.codegen.backend.base import Run
from suture.codegen.backend.registry import backends
from suture.compiler.model import bind_symbols, from_proto, shape_of
from suture.compiler.target import Target, lambda_x86_64
from suture.compiler.verify import assert_equal, run_reference, tolerance
from suture.driver.options import Which
from suture.errors import BackendError, Location, RequestError, VerifyError
from suture.passes.base import PassContext
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

Value = Any
"""An array, or what ONNX Runtime takes besides: a list of arrays, None for nothing."""
Shapes = tuple[tuple[int, ...] | None, ...]


class PreparedModel(BackendRep):
    """A model that runs on requests of any sizes, with a program for those of each.

    Args:
        model: The model, rewritten by its passes.
        which: The backend to run it; of ``auto``, TVM where it holds the model and answers
            as ONNX Runtime does.
        cache: Folder for what compilers keep.
        target: A target of this machine.
    """

    def __init__(self, model: ir.Model, which: Which, cache: Path, target: Target) -> None:
        self._model, self._which, self._cache, self._target = model, which, cache, target
        self._folder = Path(tempfile.mkdtemp(prefix="suture-onnx-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._programs: dict[Shapes, Run] = {}
        self.shipped: dict[Shapes, str] = {}

    def run(self, inputs: Sequence[Value], **kwargs: Any) -> tuple[Value, ...]:
        """Return the outputs in the model's order; takes no options.

        Raises:
            RequestError: The inputs do not fit the model.
            BackendError: No backend asked for holds it.
        """
        given = named_inputs(self._model, inputs)
        shapes = tuple(getattr(value, "shape", None) for value in given.values())
        if shapes not in self._programs:
            self._programs[shapes] = self._compile(given, shapes)
        answers = self._programs[shapes](given)
        return tuple(answers[str(value.name)] for value in self._model.graph.outputs)

    def _compile(self, given: Mapping[str, Value], shapes: Shapes) -> Run:
        failures: list[str] = []
        for backend in backends(self._cache):
            if self._which not in ("auto", backend.name):
                continue
            folder = self._folder / f"{backend.name}{len(self._programs)}"
            try:
                model = fitted(self._model, given) if backend.name == "tvm" else self._model
                compiled = backend.compile(model.clone(), self._target, folder)
                run = backend.load(compiled, model, threads=self._target.threads)
                if self._which == "auto" and backend.name == "tvm":
                    check_answers(self._model, given, run(given))
            except BackendError as error:
                if self._which != "auto":
                    raise
                failures.append(f"{backend.name}: {error}")
            else:
                self.shipped[shapes] = backend.name
                return run
        raise BackendError(
            "no backend holds the model\n  " + "\n  ".join(failures),
            at=Location(self._model.graph.name or "model"),
            hint="replace the operator, or export the model again",
        )


class SutureBackend(Backend):
    """Compiles and runs models on this machine's processor."""

    @classmethod
    def prepare(
        cls,
        model: onnx.ModelProto,
        device: str = "CPU",
        *,
        backend: Which = "auto",
        passes: str = "exact",
        cache: Path | None = None,
        **kwargs: Any,
    ) -> PreparedModel:
        """Read and rewrite a model.

        Args:
            model: The model.
            device: ``CPU``.
            backend: Which backend runs it.
            passes: A pipeline's text or name.
            cache: Folder for what compilers keep, by default the user's.
            kwargs: None are known.

        Raises:
            ModelError: It is malformed.
            BackendError: A node's operator is in no operator set, or there is no such device.
            PassError: A pass fails.
        """
        if not cls.supports_device(device):
            raise BackendError(f"no device {device!r}", hint="there is CPU")
        if kwargs:
            raise BackendError(f"no option {next(iter(kwargs))!r}")
        read = from_proto(model, model.graph.name or "model")
        target = lambda_x86_64()
        PassManager(parse_pipeline(passes)).run(read, PassContext(target=target))
        cache = cache or Path.home() / ".cache" / "suture"
        return PreparedModel(read, backend, cache, target)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """Return whether models run on a device."""
        return device.partition(":")[0] == "CPU"


def named_inputs(model: ir.Model, inputs: Sequence[Value]) -> dict[str, Value]:
    """Return a request's values by the names of the model's inputs.

    Raises:
        RequestError: There are too few or too many.
    """
    names = [str(v.name) for v in model.graph.inputs if v.name not in model.graph.initializers]
    if len(inputs) != len(names):
        raise RequestError(
            f"{len(inputs)} inputs for {len(names)} of the model",
            at=Location(model.graph.name or "model"),
        )
    plain = (np.asarray(v) if isinstance(v, np.generic) else v for v in inputs)
    return dict(zip(names, plain, strict=True))


def fitted(model: ir.Model, given: Mapping[str, Value]) -> ir.Model:
    """Return a copy of a model with the free sizes of its inputs fixed as a request has them.

    Raises:
        RequestError: An input has another rank or another fixed size, or one free dimension
            two sizes.
    """
    model = model.clone()
    sizes: dict[str, int] = {}
    for value in model.graph.inputs:
        array = given.get(str(value.name))
        if array is None or not hasattr(array, "shape"):
            continue
        if value.shape is None:
            value.shape = ir.Shape(array.shape)
        declared = shape_of(value)
        wanted = [
            sizes.setdefault(d, size) if isinstance(d, str) else d
            for d, size in zip(declared, array.shape, strict=False)
        ]
        if len(declared) != array.ndim or list(array.shape) != wanted:
            raise RequestError(
                f"{list(array.shape)} does not fit {list(declared)}",
                at=Location(model.graph.name or "model", None, value.name),
            )
    bind_symbols(model, sizes)
    return model


def check_answers(
    model: ir.Model, given: Mapping[str, Value], answers: Mapping[str, Value]
) -> None:
    """Raise ``BackendError`` where answers are not ONNX Runtime's."""
    try:
        expected = run_reference(model, given)
        assert_equal(expected, answers, what="backend tvm", rtol=tolerance(model))
    except VerifyError as error:
        raise BackendError(error.message, at=error.at, hint=error.hint) from error

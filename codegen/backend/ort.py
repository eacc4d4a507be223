"""ONNX Runtime: the model as it is, with the runtime's C library from its wheel."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxruntime

from suture.codegen.backend.base import Array, Compiled, Kernel, Run
from suture.codegen.isolate import find_node
from suture.compiler.model import infer_shapes, model_bytes
from suture.compiler.session import open_session
from suture.compiler.target import Target
from suture.errors import BackendError, Location

MODEL = "model.onnx"
DATA = "model.onnx.data"
LIBRARY = "libonnxruntime.so.1"
# protobuf's limit is 2 GiB; the graph itself needs some of it.
SINGLE_FILE_BYTES = 2**31 - 2**26


@dataclass(frozen=True)
class OrtBackend:
    """Ships the model with ONNX Runtime's C library."""

    name: ClassVar[str] = "ort"

    def compile(self, model: ir.Model, target: Target, workdir: Path) -> Compiled:
        """Write ``model.onnx`` under ``workdir``; the same model gives the same bytes.

        Raises:
            BackendError: ONNX Runtime cannot hold the model, with node and operator; or its
                wheel here is not for the target.
        """
        library = find_library(target)
        workdir.mkdir(parents=True, exist_ok=True)
        weight_bytes = sum(
            value.const_value.nbytes
            for value in model.graph.initializers.values()
            if value.const_value is not None
        )
        written = write_model(model, workdir, weight_bytes)
        try:
            open_session(workdir / MODEL, threads=1)
        except BackendError as error:
            raise _named(error, model) from error
        return Compiled(
            backend=self.name,
            files={**written, LIBRARY: library},
            arena_bytes=None,
            weight_bytes=weight_bytes,
            kernels=tuple(
                Kernel(name=node.name or str(node.outputs[0].name), op=node.op_type)
                for node in model.graph
            ),
            notes=(f"ONNX Runtime {version('onnxruntime')}",),
        )

    def load(self, compiled: Compiled, model: ir.Model, *, threads: int) -> Run:
        """Return a session on the compiled model as a function.

        Raises:
            BackendError: ONNX Runtime cannot load it.
        """
        session = open_session(compiled.files[MODEL], threads=threads)
        names = [output.name for output in session.get_outputs()]

        def run(inputs: Mapping[str, Array]) -> dict[str, Array]:
            return dict(zip(names, session.run(names, dict(inputs)), strict=True))

        return run


def write_model(model: ir.Model, workdir: Path, weight_bytes: int) -> dict[str, Path]:
    """Write a model as one file, or as two where protobuf's limit asks for it."""
    path = workdir / MODEL
    if weight_bytes > SINGLE_FILE_BYTES:
        ir.save(model.clone(), path, external_data=DATA)
        return {MODEL: path, DATA: workdir / DATA}
    path.write_bytes(model_bytes(ir.external_data.load_to_model(model.clone())))
    return {MODEL: path}


def find_library(target: Target) -> Path:
    """Return ONNX Runtime's C library in the installed wheel.

    Raises:
        BackendError: The wheel is for another processor, or holds no such library.
    """
    if target.arch != platform.machine():
        raise BackendError(
            f"the installed ONNX Runtime is for {platform.machine()}, not {target.arch}",
            at=Location(target.name),
            hint=f"compile on an {target.arch} machine, or use the backend tvm",
        )
    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not found:
        raise BackendError(
            "the installed ONNX Runtime holds no libonnxruntime.so",
            at=Location(target.name),
            hint="install onnxruntime from PyPI, on Linux",
        )
    return found[-1]


def _named(error: BackendError, model: ir.Model) -> BackendError:
    """Return an error that names the node at fault, where one fails on its own."""
    prepared = model.clone()
    ir_passes.InlinePass()(prepared)
    infer_shapes(prepared)

    def attempt(alone: ir.Model) -> None:
        open_session(alone, optimize=False)

    node = find_node(prepared, attempt)
    if node is None:
        return error
    return BackendError(
        f"operator {node.op_type!r}: {error.message}",
        at=Location(model.graph.name or "model", node.name or node.outputs[0].name),
        hint="replace the operator, or export the model again with a current exporter",
    )

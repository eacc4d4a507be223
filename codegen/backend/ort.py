"""ONNX Runtime: the model as it is, with the runtime's C library from its wheel."""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import ClassVar

import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
import onnxruntime

from suture.codegen.backend.base import Array, Compiled, Kernel
from suture.codegen.expand import expand
from suture.codegen.faults import ort_fault
from suture.codegen.isolate import find_node
from suture.codegen.link import Parts
from suture.compiler.model import infer_shapes, save_model
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

    def compile(
        self,
        model: ir.Model,
        target: Target,
        workdir: Path,
        *,
        sizes: Sequence[Mapping[str, int]] = (),
    ) -> Compiled:
        """Write ``model.onnx`` under ``workdir``; the same model gives the same bytes.

        Free dimensions stay free, whatever sizes are asked for.

        Raises:
            BackendError: ONNX Runtime cannot hold the model, with node and operator; or its
                wheel here is not for the target.
        """
        check_ports(model)
        model = mended(model)
        library = find_library(target)
        workdir.mkdir(parents=True, exist_ok=True)
        written = write_model(model, workdir)
        try:
            open_session(workdir / MODEL, threads=1)
        except BackendError as error:
            raise _named(error, model) from error
        return Compiled(
            backend=self.name,
            files={**written, LIBRARY: library},
            parts=Parts(workdir),
            arena_bytes=None,
            weight_bytes=weight_bytes(model),
            kernels=tuple(
                Kernel(name=node.name or str(node.outputs[0].name), op=node.op_type)
                for node in model.graph
            ),
            notes=(f"ONNX Runtime {version('onnxruntime')}",),
        )

    def load(self, compiled: Compiled, model: ir.Model, *, threads: int) -> OrtProgram:
        """Return a session on the compiled model as a function.

        Raises:
            BackendError: ONNX Runtime cannot load it.
        """
        return OrtProgram(compiled.files[MODEL], threads)


class OrtProgram:
    """Runs a model file in ONNX Runtime.

    Args:
        path: The model.
        threads: Threads within an operator.
        spin: Whether they spin for work within a run: faster, and dearer.

    Raises:
        BackendError: ONNX Runtime does not take the model.
    """

    def __init__(self, path: Path, threads: int, *, spin: bool = False) -> None:
        self._path, self._threads = path, threads
        self._session = open_session(path, threads=threads, spin=spin)
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Raises:
            BackendError: ONNX Runtime fails on these inputs.
        """
        try:
            values = self._session.run(self._names, dict(inputs))
        except Exception as error:
            raise BackendError(
                f"ONNX Runtime fails: {str(error).strip()}", at=Location(str(self._path))
            ) from error
        return dict(zip(self._names, values, strict=True))

    def trace(self, inputs: Mapping[str, Array], *, rounds: int) -> tuple[Kernel, ...]:
        """Run a few times with ONNX Runtime's profiler on; return its nodes with medians."""
        with tempfile.TemporaryDirectory(prefix="suture-trace-") as folder:
            session = open_session(self._path, threads=self._threads, trace=Path(folder) / "t")
            for _ in range(rounds):
                session.run(self._names, dict(inputs))
            runs = read_trace(Path(session.end_profiling()))
        times: dict[tuple[str, str], list[float]] = {}
        for kernel in chain.from_iterable(runs):
            times.setdefault((kernel.name, kernel.op), []).append(kernel.microseconds or 0.0)
        return tuple(
            Kernel(name=name, op=op, microseconds=float(statistics.median(spent)))
            for (name, op), spent in times.items()
        )


def read_trace(path: Path) -> tuple[tuple[Kernel, ...], ...]:
    """Return the kernels of each run that ONNX Runtime's profiler saw, with their times."""
    runs: list[tuple[Kernel, ...]] = []
    kernels: list[Kernel] = []
    for event in json.loads(path.read_text("utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name, op = event["name"].removesuffix("_kernel_time"), event["args"]["op_name"]
            kernels.append(Kernel(name=name, op=op, microseconds=float(event["dur"])))
        elif event["name"] == "model_run":
            runs.append(tuple(kernels))
            kernels = []
    return tuple(runs)


def mended(model: ir.Model) -> ir.Model:
    """Return a model without what ONNX Runtime gets wrong; the same one where nothing is.

    Raises:
        BackendError: A node is one of those, and cannot be written out by simpler ones.
    """
    if not any(map(ort_fault, model.graph.all_nodes())):
        return model
    model = model.clone()
    infer_shapes(model)
    expand(model, lambda node: ort_fault(node) is not None)
    for node in model.graph.all_nodes():
        fault = ort_fault(node)
        if fault is not None:
            raise BackendError(
                f"operator {node.op_type!r} is wrong in ONNX Runtime: {fault}",
                at=Location(model.graph.name or "model", node.name or node.outputs[0].name),
                hint="replace the operator, or use the backend tvm",
            )
    return model


def check_ports(model: ir.Model) -> None:
    """Raise ``BackendError`` for the first input or output that NumPy has no type for.

    ONNX Runtime may compute with it, but neither its interface for Python nor a request holds
    it.
    """
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.dtype is None or value.dtype in (ir.DataType.STRING, ir.DataType.UNDEFINED):
            continue
        if value.dtype.numpy().isbuiltin != 1:
            raise BackendError(
                f"element type {value.dtype.name} cannot enter or leave a program",
                at=Location(model.graph.name or "model", None, value.name),
                hint="put a Cast at the model's border",
            )


def weight_bytes(model: ir.Model) -> int:
    """Return the size of a model's constants."""
    tensors = (value.const_value for value in model.graph.initializers.values())
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def write_model(model: ir.Model, workdir: Path) -> dict[str, Path]:
    """Write a model as one file, or as two where protobuf's limit asks for it."""
    path = workdir / MODEL
    if weight_bytes(model) > SINGLE_FILE_BYTES:
        ir.save(model.clone(), path, external_data=DATA)
        return {MODEL: path, DATA: workdir / DATA}
    save_model(model, path)
    return {MODEL: path}


def find_library(target: Target) -> Path:
    """Return ONNX Runtime's C library in the installed wheel.

    Raises:
        BackendError: The wheel is for another processor, or holds no such library.
    """
    if not target.runs_here:
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

"""ONNX Runtime on the CPU: the reference, and one of the two backends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy.typing as npt
import onnx_ir as ir
import onnxruntime as ort

from suture.compiler.model import model_bytes
from suture.errors import BackendError, Location

LENT = 1 << 20
"""Bytes of a weight from which a session is lent it, in place of a copy of its own."""


def lend_weights(model: ir.Model) -> tuple[ir.Model, dict[str, npt.NDArray[Any]]]:
    """Return a model that asks for its large weights as inputs, and these.

    A session copies every initializer, and reads inputs where they are: a model whose session
    runs once or twice need not be in memory twice. Numbers are the same as long as nothing is
    optimised, which would need to know what is constant.
    """
    copy, lent = model.clone(), dict[str, npt.NDArray[Any]]()
    for name, value in list(copy.graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes < LENT or value.is_graph_input():
            continue
        if value.is_graph_output() or tensor.dtype not in LENDABLE:
            continue
        lent[name] = tensor.numpy()
        value.shape, value.dtype = ir.Shape(lent[name].shape), tensor.dtype
        value.const_value = None
        del copy.graph.initializers[name]
        copy.graph.inputs.append(value)
    return copy, lent


LENDABLE = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE)


def open_session(
    source: ir.Model | Path,
    *,
    threads: int = 1,
    optimize: bool = True,
    spin: bool = False,
    trace: Path | None = None,
) -> ort.InferenceSession:
    """Return a session with one thread between operators.

    Args:
        source: A model, or a file; only a file may have data beside it.
        threads: Threads within an operator; 0 takes every core.
        optimize: Whether ONNX Runtime may rewrite the graph.
        spin: Whether threads spin for work within a run, as they do unless told otherwise.
        trace: Where its profiler writes, with a suffix; None keeps it off.

    Raises:
        BackendError: ONNX Runtime does not take the model.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    # What runs next in the process must not share its cores with threads that still spin.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if trace is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(trace)
    if not optimize:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if isinstance(source, Path):
        name: str = str(source)
        content: str | bytes = name
    else:
        name, content = source.graph.name or "model", model_bytes(source)
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise BackendError(
            f"ONNX Runtime {ort.__version__} cannot load it: {error}", at=Location(name)
        ) from error

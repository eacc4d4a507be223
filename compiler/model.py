"""Read ONNX files safely, and bind their free dimensions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
from google.protobuf.message import DecodeError

from suture.compiler.component import Dim
from suture.compiler.mapped import map_weights, read_without_weights
from suture.compiler.streamed import stream_model
from suture.errors import BackendError, Location, ModelError

SEQUENCES = (
    *("SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert"),
    *("SequenceMap", "SplitToSequence"),
)
"""Operators whose results are sequences of tensors."""
MOST_SIZES = 64
"""Elements of a constant that may say what shape something has."""
FREE_INITIALIZERS = 4
"""The IR version since which an initializer need not be a graph input."""


def load_model(path: Path) -> ir.Model:
    """Return the model in a file; large weights stay there, and are mapped where used.

    Initializers leave the list of graph inputs (IR version 3 asked for them there).

    Raises:
        ModelError: The file is missing, is not ONNX, or its external data leaves its folder.
        BackendError: A node's operator is in no operator set that the model imports.
    """
    if not path.is_file():
        raise ModelError("no such file", at=Location(str(path)))
    try:
        read = read_without_weights(path)
    except (DecodeError, ValueError, OSError) as error:
        raise ModelError(
            f"not a readable ONNX file ({error})",
            at=Location(str(path)),
            hint="export the model again, or check that the download is complete",
        ) from error
    proto = read.proto
    if not proto.graph.node and not proto.graph.output:
        raise ModelError("the file holds no graph", at=Location(str(path)))
    check_external_data(proto, path)
    model = from_proto(proto, path.name)
    ir.external_data.set_base_dir(model.graph, path.parent)
    map_weights(model, read)
    return model


def from_proto(proto: onnx.ModelProto, name: str) -> ir.Model:
    """Return a model in memory, as ``load_model`` does one in a file.

    Args:
        proto: The model; its weights lie in it, or are put in their place afterwards.
        name: What errors call it.

    Raises:
        ModelError: The graph is malformed.
        BackendError: A node's operator is in no operator set that the model imports.
    """
    check_operators(proto, name)
    try:
        model = ir.from_proto(proto)
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"malformed graph ({error})", at=Location(name)) from error
    ir_passes.RemoveInitializersFromInputsPass()(model)
    model.ir_version = max(model.ir_version, FREE_INITIALIZERS)
    return model


def check_external_data(proto: onnx.ModelProto, path: Path) -> None:
    """Raise ``ModelError`` where a tensor's file is missing or outside the model's folder."""
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            inside = PurePosixPath(entry.value)
            at = Location(path.name, None, tensor.name)
            resolved = (path.parent / inside).resolve()
            if inside.is_absolute() or not resolved.is_relative_to(path.parent.resolve()):
                raise ModelError(
                    f"external data {entry.value!r} lies outside the model's folder",
                    at=at,
                    hint="save the model with its data file beside it",
                )
            if not resolved.is_file():
                raise ModelError(f"external data {entry.value!r} is missing", at=at)


def check_operators(proto: onnx.ModelProto, name: str) -> None:
    """Raise ``BackendError`` for the first node whose operator no imported set defines.

    Operators of domains other than ONNX's own are left to the backends.
    """
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    local = {(function.domain, function.name) for function in proto.functions}
    for node in _nodes(proto.graph):
        if node.domain not in ("", "ai.onnx", "ai.onnx.ml"):
            continue
        if (node.domain, node.op_type) in local:
            continue
        domain = "" if node.domain == "ai.onnx" else node.domain
        version = opsets.get(domain, opsets.get("ai.onnx", 1))
        try:
            onnx.defs.get_schema(node.op_type, version, domain)
        except onnx.defs.SchemaError:
            raise BackendError(
                f"operator {node.op_type!r} is not in ONNX operator set {version}, "
                "so no backend can run it",
                at=Location(name, node.name or node.output[0]),
                hint="export the model again with a current exporter",
            ) from None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield every node of a graph and of the graphs in its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)


def opset_of(whole: ir.Model | ir.Graph) -> int:
    """Return the version of the default operator set of a model or graph."""
    version = whole.opset_imports.get("", whole.opset_imports.get("ai.onnx"))
    return version if version is not None else 1


def shape_of(value: ir.Value) -> tuple[Dim, ...]:
    """Return a value's shape; an unnamed dimension is called ``value_axis``.

    Raises:
        ModelError: The value has no known rank.
    """
    if value.shape is None:
        raise ModelError("a graph input or output has no rank", at=Location(str(value.name)))
    return tuple(
        dim if isinstance(dim, int) else (dim.value or f"{value.name}_{axis}")
        for axis, dim in enumerate(value.shape)
    )


def free_symbols(model: ir.Model) -> tuple[str, ...]:
    """Return the names of the dimensions of the inputs that are not fixed, in order."""
    found = [d for v in model.graph.inputs for d in shape_of(v) if isinstance(d, str)]
    return tuple(dict.fromkeys(found))


def bind_symbols(model: ir.Model, sizes: Mapping[str, int]) -> None:
    """Fix free dimensions of the inputs, in place, and infer every shape anew."""
    for value in model.graph.inputs:
        value.shape = ir.Shape(
            [sizes.get(d, d) if isinstance(d, str) else d for d in shape_of(value)]
        )
    infer_shapes(model)


def infer_shapes(model: ir.Model) -> None:
    """Forget the shapes of everything but the inputs, and infer them from the operators.

    A graph output keeps its declared shape where inference finds less.
    """
    declared = {id(v): v.shape for v in model.graph.outputs}
    for node in model.graph:
        for value in node.outputs:
            value.shape = None
    run_inference(model)
    for value in model.graph.outputs:
        value.shape = _known(value.shape, declared[id(value)])


def run_inference(model: ir.Model) -> None:
    """Add what onnx infers of types and shapes, in place.

    Of sequences nothing: onnx_ir takes them for tensors. Constants are told to the graphs in
    nodes as well, since onnx does not look for them outside.
    """
    lent = list(_lend_constants(model))
    try:
        ir_passes.ShapeInferencePass(data_prop=True)(model)
    finally:
        for graph, name in lent:
            del graph.initializers[name]
    for value in _sequences(model.graph):
        if value not in model.graph.outputs:
            value.type = value.shape = None


def _lend_constants(model: ir.Model) -> Iterator[tuple[ir.Graph, str]]:
    """Add small constants to the graphs that read them from outside; yield where and which."""
    for graph in model.graph.subgraphs():
        read = {value for node in graph for value in node.inputs if value is not None}
        for value in sorted(read, key=lambda each: str(each.name)):
            tensor, name = value.const_value, str(value.name)
            if value.graph is graph or tensor is None or tensor.size > MOST_SIZES:
                continue
            if not value.is_graph_input() and name not in graph.initializers:
                lent = ir.Value(name=name, type=value.type, shape=value.shape)
                lent.const_value = tensor
                graph.register_initializer(lent)
                yield graph, name


def _sequences(graph: ir.Graph) -> set[ir.Value]:
    """Return values of a graph and those in its nodes that are seen to be sequences."""
    found: set[ir.Value] = set()
    for node in graph:
        if node.op_type in SEQUENCES:
            found.update(node.outputs)
        for attribute in node.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                inner = attribute.as_graph()
                found |= _sequences(inner)
                results = inner.outputs[-len(node.outputs) :]  # a Loop's condition comes first
                found.update(
                    o for o, r in zip(node.outputs, results, strict=False) if r in found
                )
    return found


def _known(inferred: ir.Shape | None, declared: ir.Shape | None) -> ir.Shape | None:
    """Return the inferred shape, with the declared size of each axis it leaves open."""
    if inferred is None or declared is None or len(inferred) != len(declared):
        return declared if inferred is None else inferred
    sizes = []
    for found, said in zip(inferred, declared, strict=True):
        open_ = isinstance(said, int) and not isinstance(found, int)
        sizes.append(said if open_ else found)
    return ir.Shape(sizes)


def save_model(model: ir.Model, path: Path) -> None:
    """Write a model as one file, whole or not at all; equal models give equal bytes.

    A file in use is replaced, not written over: its weights may still be read from it.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.writelines(_pieces(model))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def model_version(model: ir.Model) -> str:
    """Return what tells a model from others: twelve digits of the SHA-256 of its file.

    Raises:
        ModelError: The model is larger than protobuf's 2 GiB.
    """
    digest = hashlib.sha256()
    for piece in _pieces(model):
        digest.update(piece)
    return digest.hexdigest()[:12]


def model_bytes(model: ir.Model) -> bytes:
    """Return a model serialised with a fixed order of fields.

    Raises:
        ModelError: The model is larger than protobuf's 2 GiB.
    """
    return b"".join(_pieces(model))


def _pieces(model: ir.Model) -> Iterator[bytes | memoryview]:
    try:
        yield from stream_model(model)
    except (ValueError, DecodeError) as error:
        raise ModelError(
            f"the model does not fit into one file ({error})",
            at=Location(model.graph.name or "model"),
        ) from error

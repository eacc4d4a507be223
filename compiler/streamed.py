"""Write ONNX files a weight at a time, none of them in memory twice.

A serialiser of protobuf copies every number on its way. Here it is handed everything but the
numbers of large initializers of the main graph, and they are put where it would have put them;
the lengths before them are those of what comes out (protobuf, "Encoding").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from suture.compiler.mapped import (
    DELIMITED,
    GRAPH,
    INITIALIZER,
    NAME,
    RAW_DATA,
    SMALLEST,
    Field,
    fields,
)

Weights = Mapping[str, ir.TensorProtocol]
Piece = bytes | ir.TensorProtocol
"""Of a file; a tensor stands for its numbers."""
MOST_BYTES = 2**31 - 1
"""Of a protobuf message."""


def stream_model(model: ir.Model) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a model as one file, what lies in other files being part of it.

    Raises:
        ValueError: They are more than protobuf's 2 GiB.
    """
    light, weights = _without_weights(model)
    message = ir.to_proto(light).SerializeToString(deterministic=True)
    pieces = _model(message, weights)
    if _nbytes(pieces) > MOST_BYTES:
        raise ValueError(f"{_nbytes(pieces)} bytes, and protobuf takes {MOST_BYTES}")
    for piece in pieces:
        yield piece if isinstance(piece, bytes) else _numbers(piece)


def _without_weights(model: ir.Model) -> tuple[ir.Model, Weights]:
    """Return a model whose large initializers have no numbers, and these by name."""
    light, weights = model.clone(), dict[str, ir.TensorProtocol]()
    for name, value in light.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or isinstance(tensor, ir.StringTensor):
            continue
        apart = isinstance(tensor, ir.ExternalTensor)
        if (apart or tensor.nbytes >= SMALLEST) and tensor.dtype.bitwidth >= 8:
            weights[name] = tensor
            value.const_value = _Without(tensor)
        elif apart:
            value.const_value = ir.tensor(tensor.numpy(), tensor.dtype, name=name)
    return light, weights


class _Without(ir.LazyTensor):
    """A tensor that says what another one says, and holds nothing."""

    def __init__(self, tensor: ir.TensorProtocol) -> None:
        shape = ir.Shape(tensor.shape.numpy())
        super().__init__(
            lambda: ir.Tensor(np.zeros(0, np.uint8)), tensor.dtype, shape, name=tensor.name
        )
        self.doc_string = tensor.doc_string
        self.metadata_props.update(tensor.metadata_props)

    def tobytes(self) -> bytes:
        """Return none."""
        return b""


def _model(message: bytes, weights: Weights) -> list[Piece]:
    pieces: list[Piece] = []
    for field in fields(message, 0, len(message)):
        if field.number == GRAPH:
            pieces += _delimited(GRAPH, _graph(message, field, weights))
        else:
            pieces.append(message[field.begin : field.end])
    return pieces


def _graph(message: bytes, graph: Field, weights: Weights) -> list[Piece]:
    pieces: list[Piece] = []
    for field in fields(message, graph.payload, graph.end):
        tensor = None
        if field.number == INITIALIZER:
            tensor = weights.get(_name(message, field))
        if tensor is None:
            pieces.append(message[field.begin : field.end])
        else:
            pieces += _delimited(INITIALIZER, _initializer(message, field, tensor))
    return pieces


def _initializer(message: bytes, whole: Field, tensor: ir.TensorProtocol) -> list[Piece]:
    pieces: list[Piece] = []
    for field in fields(message, whole.payload, whole.end):
        if field.number == RAW_DATA:
            pieces += _delimited(RAW_DATA, [tensor])
        else:
            pieces.append(message[field.begin : field.end])
    return pieces


def _name(message: bytes, tensor: Field) -> str:
    for field in fields(message, tensor.payload, tensor.end):
        if field.number == NAME:
            return message[field.payload : field.end].decode()
    return ""


def _delimited(number: int, pieces: list[Piece]) -> list[Piece]:
    """Return a field of that number whose payload is given."""
    return [_varint(number << 3 | DELIMITED) + _varint(_nbytes(pieces)), *pieces]


def _nbytes(pieces: list[Piece]) -> int:
    return sum(len(each) if isinstance(each, bytes) else each.nbytes for each in pieces)


def _varint(number: int) -> bytes:
    """Return a number as seven bits a byte, the lowest first."""
    low = bytearray()
    while number > 0x7F:
        low.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*low, number])


def _numbers(tensor: ir.TensorProtocol) -> memoryview:
    """Return a tensor's numbers as they lie in a file, the lowest byte first."""
    array: npt.NDArray[np.generic] = np.ascontiguousarray(tensor.numpy())
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.reshape(-1).view(np.uint8).data

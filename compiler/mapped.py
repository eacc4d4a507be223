"""Read ONNX files without their weights, which are mapped into memory where they are used.

A protobuf parser copies what it reads, and a model that is mostly weights would be in memory
two or three times. Here the parser is handed everything but the numbers of large initializers
of the main graph; protobuf defines that messages may be merged from parts (Encoding, "Last
One Wins"), so that leaving out a field needs no new encoding.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

GRAPH, INITIALIZER, NAME, RAW_DATA = 7, 5, 8, 9
"""Numbers of fields in onnx.proto: of ModelProto, GraphProto and TensorProto."""
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
SMALLEST = 1 << 16
"""Bytes of numbers from which they are left in the file."""


@dataclass(frozen=True)
class Span:
    """Where a tensor's numbers lie in a file."""

    offset: int
    nbytes: int


class OpenFile:
    """A file that stays open as long as something may map it."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self.descriptor)


@dataclass(frozen=True)
class WithoutWeights:
    """A model, and where the numbers are that it lacks.

    Attributes:
        proto: The model.
        weights: By the name of the initializer.
        file: The file, open: what takes its place under its name changes nothing.
    """

    proto: onnx.ModelProto
    weights: dict[str, Span]
    file: OpenFile


@dataclass(frozen=True)
class Field:
    """A field of a message: from its tag to its end, and where its payload begins.

    Attributes:
        number: As in the message's definition.
        begin: Where its tag is.
        payload: What comes behind the tag, and the length if there is one.
        end: Behind its last byte.
    """

    number: int
    begin: int
    payload: int
    end: int


def read_without_weights(path: Path) -> WithoutWeights:
    """Return a model in a file, its large initializers left where they are.

    Raises:
        DecodeError: It is no protobuf, or ends too early.
        OSError: It cannot be read.
    """
    file = OpenFile(path)
    proto, weights = onnx.ModelProto(), dict[str, Span]()
    if path.stat().st_size == 0:
        return WithoutWeights(proto, weights, file)
    with mmap.mmap(file.descriptor, 0, access=mmap.ACCESS_READ) as data:
        for field in fields(data, 0, len(data)):
            if field.number != GRAPH:
                proto.MergeFromString(data[field.begin : field.end])
                continue
            for part in fields(data, field.payload, field.end):
                if part.number == INITIALIZER and part.end - part.begin >= SMALLEST:
                    _merge_initializer(proto.graph, data, part, weights)
                else:
                    proto.graph.MergeFromString(data[part.begin : part.end])
    return WithoutWeights(proto, weights, file)


def map_weights(model: ir.Model, read: WithoutWeights) -> None:
    """Give a model's initializers their numbers, in place.

    Each use maps its own, so that what is no longer used leaves memory.
    """
    for name, span in read.weights.items():
        value = model.graph.initializers[name]
        assert value.const_value is not None
        dtype, shape = value.const_value.dtype, value.const_value.shape
        assert isinstance(shape, ir.Shape)
        value.const_value = ir.LazyTensor(
            _Mapping(read.file, span, dtype, shape, name), dtype, shape, name=name
        )


@dataclass(frozen=True)
class _Mapping:
    """Maps the numbers of one tensor."""

    file: OpenFile
    span: Span
    dtype: ir.DataType
    shape: ir.Shape
    name: str

    def __call__(self) -> ir.Tensor[Any]:
        aside = self.span.offset % mmap.ALLOCATIONGRANULARITY
        data = mmap.mmap(
            self.file.descriptor,
            self.span.nbytes + aside,
            access=mmap.ACCESS_READ,
            offset=self.span.offset - aside,
        )
        sizes = self.shape.numpy()
        array = np.frombuffer(data, self.dtype.numpy(), math.prod(sizes), aside)
        return ir.Tensor(array.reshape(sizes), self.dtype, shape=self.shape, name=self.name)


def _merge_initializer(
    graph: onnx.GraphProto, data: mmap.mmap, whole: Field, weights: dict[str, Span]
) -> None:
    """Add an initializer, without its numbers where they can be mapped later."""
    tensor = graph.initializer.add()
    raw = None
    for field in fields(data, whole.payload, whole.end):
        if field.number == RAW_DATA:
            raw = field
        else:
            tensor.MergeFromString(data[field.begin : field.end])
    if raw is None:
        return
    span = Span(raw.payload, raw.end - raw.payload)
    if tensor.name and tensor.name not in weights and _can_be_mapped(tensor, span):
        weights[tensor.name] = span
    else:
        tensor.raw_data = data[raw.payload : raw.end]


def _can_be_mapped(tensor: onnx.TensorProto, span: Span) -> bool:
    """Whether the bytes of a tensor are its numbers as NumPy has them."""
    try:
        kind = ir.DataType(tensor.data_type)
        width = kind.numpy().itemsize
    except (ValueError, TypeError):
        return False
    return kind.bitwidth == 8 * width and span.nbytes == width * math.prod(tensor.dims)


def fields(data: mmap.mmap | bytes, begin: int, end: int) -> Iterator[Field]:
    """Yield the fields of a message that lies between two places.

    Raises:
        DecodeError: It is malformed.
    """
    while begin < end:
        tag, payload = _varint(data, begin, end)
        kind = tag & 7
        if kind == VARINT:
            _, stop = _varint(data, payload, end)
        elif kind == DELIMITED:
            size, payload = _varint(data, payload, end)
            stop = payload + size
        elif kind in (FIXED64, FIXED32):
            stop = payload + (8 if kind == FIXED64 else 4)
        else:
            raise DecodeError("Error parsing message: unknown wire type")
        if stop > end:
            raise DecodeError("Error parsing message: it ends too early")
        yield Field(tag >> 3, begin, payload, stop)
        begin = stop


def _varint(data: mmap.mmap | bytes, place: int, end: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place behind it."""
    number = shift = 0
    while place < end and shift < 70:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
    raise DecodeError("Error parsing message: malformed number")

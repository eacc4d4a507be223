"""Which rows of its inputs a node reads for some rows of its output.

Only of nodes that work on images, ``(batch, channels, rows, columns)``, element by element or
in windows of rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from suture.passes.base import constant_of

Rows = tuple[int, int]
"""The first row and the one after the last."""

ELEMENTWISE = frozenset(
    {
        *("Abs", "Add", "BatchNormalization", "Ceil", "Clip", "Div", "Elu", "Erf", "Exp"),
        *("Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min"),
        *("Mish", "Mul", "Neg", "PRelu", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid"),
        *("Sign", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh", "Where"),
    }
)
WINDOWED = frozenset({"Conv", "MaxPool", "AveragePool"})


@dataclass(frozen=True, eq=False)
class Local:
    """A node that can compute some rows of its output from some rows of its inputs.

    Attributes:
        node: The node.
        images: The inputs that it reads rows of, each once.
        size: Rows of those.
        stride: Rows of the input from one of the output to the next; of a transposed
            convolution the other way round.
        top: Rows of padding.
        reach: Over how many rows a window extends; 0 of what works element by element.
    """

    node: ir.Node
    images: tuple[ir.Value, ...]
    size: int
    stride: int
    top: int
    reach: int

    @property
    def output(self) -> ir.Value:
        """What it computes."""
        return self.node.outputs[0]

    @property
    def transposed(self) -> bool:
        """Whether it is a transposed convolution."""
        return self.node.op_type == "ConvTranspose"

    def whole_strides(self, rows: Rows) -> Rows:
        """Return rows with as few more as make kernels of transposed convolutions regular."""
        if not self.transposed:
            return rows
        step, total = self.stride, height(self.output)
        return rows[0] // step * step, min(-(-rows[1] // step) * step, total)

    def reads(self, rows: Rows) -> Rows | None:
        """Return the rows that it reads of each image, or None where it can read none.

        Rows of padding are no rows of the image.
        """
        if not self.reach:
            return rows
        first, last = self._unpadded(rows)
        first, last = max(first, 0), min(last, self.size)
        if first >= last or (self.transposed and not self._fits(rows, (first, last))):
            return None
        return first, last

    def attributes(self, rows: Rows) -> dict[str, list[int]]:
        """Return the attributes with which it computes just some rows, from ``reads``'s."""
        if not self.reach:
            return {}
        old = _ints(self.node, "pads", [0, 0, 0, 0])
        if self.transposed:
            seen = self.reads(rows)
            assert seen is not None
            top, bottom = self._cut(rows, seen)
            extra = _ints(self.node, "output_padding", [0, 0])
            return {
                "pads": [top, old[1], max(0, bottom), old[3]],
                "output_padding": [max(0, -bottom), extra[1]],
            }
        first, last = self._unpadded(rows)
        return {"pads": [max(0, -first), old[1], max(0, last - self.size), old[3]]}

    def pads(self, rows: Rows) -> tuple[int, ...] | None:
        """Return the padding with which it computes just some rows; None where it has none."""
        given = self.attributes(rows).get("pads")
        return tuple(given) if given else None

    def _unpadded(self, rows: Rows) -> Rows:
        """Return the rows that some of the output depend on, some of them in the padding."""
        first, last = rows[0], rows[1] - 1
        if self.transposed:
            before = -((self.reach - 1 - first - self.top) // self.stride)
            return before, (last + self.top) // self.stride + 1
        return first * self.stride - self.top, last * self.stride - self.top + self.reach

    def _cut(self, rows: Rows, seen: Rows) -> Rows:
        """Return how many rows a transposed convolution drops above and below."""
        top = rows[0] + self.top - seen[0] * self.stride
        whole = (seen[1] - seen[0] - 1) * self.stride + self.reach
        return top, whole - top - (rows[1] - rows[0])

    def _fits(self, rows: Rows, seen: Rows) -> bool:
        """Whether padding can say what a transposed convolution does to some rows."""
        top, bottom = self._cut(rows, seen)
        return top >= 0 and -bottom < self.stride


def local(node: ir.Node) -> Local | None:
    """Return a node as one that works on rows, or None where it is none."""
    if node.domain not in ("", "ai.onnx") or len(node.outputs) != 1:
        return None
    read = images(node)
    if not read or not all(map(is_image, (*read, node.outputs[0]))):
        return None
    known = WINDOWED | {"ConvTranspose"}
    if node.op_type in ELEMENTWISE:
        fits = _same_rows(node, read)
    elif node.op_type == "Concat":
        fits = node.attributes["axis"].as_int() in (1, -3)
    else:
        attributes = node.attributes
        fits = (
            node.op_type in known
            and attributes.get_string("auto_pad", "NOTSET") == "NOTSET"
            and not attributes.get_int("ceil_mode", 0)
            and "output_shape" not in attributes
        )
    if not fits:
        return None
    return Local(
        node=node,
        images=read,
        size=height(read[0]),
        stride=_ints(node, "strides", [1, 1])[0],
        top=_ints(node, "pads", [0, 0, 0, 0])[0],
        reach=_reach(node) if node.op_type in known else 0,
    )


def is_image(value: ir.Value) -> bool:
    """Whether a value is a batch of images of known size."""
    shape = value.shape
    return shape is not None and len(shape) == 4 and shape.is_static() and all(shape.numpy())


def images(node: ir.Node) -> tuple[ir.Value, ...]:
    """Return the inputs that a node reads rows of, each once."""
    given = node.inputs if node.op_type in ELEMENTWISE | {"Concat"} else node.inputs[:1]
    if node.op_type == "BatchNormalization":
        given = node.inputs[:1]
    found = (value for value in given if value is not None and constant_of(value) is None)
    return tuple(dict.fromkeys(found))


def height(value: ir.Value) -> int:
    """Return how many rows an image has."""
    assert value.shape is not None
    return int(value.shape.numpy()[2])


def _reach(node: ir.Node) -> int:
    """Return over how many rows a window extends."""
    window = _ints(node, "kernel_shape", [])
    if not window:
        weight = node.inputs[1]
        assert weight is not None
        assert weight.shape is not None
        window = [int(size) for size in weight.shape.numpy()[2:]]
    return (int(window[0]) - 1) * _ints(node, "dilations", [1, 1])[0] + 1


def _same_rows(node: ir.Node, read: tuple[ir.Value, ...]) -> bool:
    """Whether an element's row is its row in every input, constants being rowless."""
    size = height(node.outputs[0])
    if any(height(value) != size for value in read):
        return False
    if node.op_type == "BatchNormalization":
        return True
    constants = (value for value in node.inputs if value is not None and value not in read)
    return all(
        value.shape is not None and (len(value.shape) < 2 or value.shape[-2] == 1)
        for value in constants
    )


def _ints(node: ir.Node, name: str, default: list[int]) -> list[int]:
    return list(node.attributes.get_ints(name, default))

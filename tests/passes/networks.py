"""Random networks of what exporters write and components bring, as a strategy."""

from dataclasses import dataclass, field

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import strategies as st
from onnx import helper

SIZE = 8
CHANNELS = (1, 2, 4)
LAYERS = (
    "block", "depthwise", "twins", "unary", "pool", "arithmetic", "computed", "dead",
    "gelu", "norm", "attention", "layouts", "hollow", "chosen", "table",
)  # fmt: skip
"""What layers of networks are made of."""
JOINTS = (
    "block", "unary", "turned", "swapped", "chain", "resampled", "bounded", "precise",
    "recurrent",
)  # fmt: skip
"""What stands between components, and around the first and last layers."""


@dataclass
class Network:
    """A graph that grows by a layer at a time; every value is ``(2, channels, 8, 8)``."""

    rng: np.random.Generator
    start: int
    value: str = "x"
    nodes: list = field(default_factory=list)
    weights: list = field(default_factory=list)

    def __post_init__(self):
        self.channels = self.start

    def weight(self, array):
        name = f"w{len(self.weights)}"
        array = np.asarray(array)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.weights.append(onnx.numpy_helper.from_array(array, name))
        return name

    def node(self, op, *inputs, **attributes):
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"v{name}"], name, **attributes))
        return f"v{name}"

    def by_channel(self, low=-1.0, high=1.0):
        return self.rng.uniform(low, high, (self.channels, 1, 1))

    def conv(self, draw, group=1):
        kernel = draw(st.sampled_from((1, 3)))
        inward = self.channels // group
        outward = self.channels if group > 1 else draw(st.sampled_from(CHANNELS))
        shape = (outward, inward, kernel, kernel)
        inputs = [self.weight(self.rng.normal(0, (inward * kernel**2) ** -0.5, shape))]
        if draw(st.booleans()):
            inputs.append(self.weight(self.rng.normal(0, 0.5, outward)))
        value = self.value
        if kernel == 3 and draw(st.booleans()):  # padded apart, so that the Conv itself is not
            value = self.node("Pad", value, self.weight(np.array([0, 0, 1, 1] * 2)))
            pads = [0] * 4
        else:
            pads = [kernel // 2] * 4
        self.channels = outward
        return self.node("Conv", value, *inputs, pads=pads, group=group)

    def block(self, draw):
        """Normalisation, convolution, batch normalisation: the first and last at will."""
        if draw(st.booleans()):
            self.value = self.arithmetic(draw)
        self.value = self.conv(draw)
        return self.batch_norm(draw) if draw(st.booleans()) else self.value

    def depthwise(self, draw):
        return self.conv(draw, group=self.channels)

    def twins(self, draw):
        """Two equal convolutions over equal weights, as two components might bring them."""
        array = self.rng.normal(0, self.channels**-0.5, (self.channels, self.channels, 1, 1))
        both = [self.node("Conv", self.value, self.weight(array)) for _ in range(2)]
        return self.node(draw(st.sampled_from(("Add", "Max"))), *both)

    def batch_norm(self, draw):
        spans = ((0.5, 1.5), (-1, 1), (-0.5, 0.5), (0.5, 2))
        numbers = [self.weight(self.rng.uniform(*span, self.channels)) for span in spans]
        return self.node("BatchNormalization", self.value, *numbers)

    def unary(self, draw):
        return self.node(draw(st.sampled_from(("Relu", "Identity", "Dropout"))), self.value)

    def pool(self, draw):
        op = draw(st.sampled_from(("MaxPool", "AveragePool")))
        return self.node(op, self.value, kernel_shape=[3, 3], pads=[1, 1, 1, 1])

    def arithmetic(self, draw):
        op = draw(st.sampled_from(("Add", "Sub", "Mul", "Div")))
        number = self.by_channel(0.5, 2) if draw(st.booleans()) else np.array(0.75)
        sides = [self.value, self.weight(number)]
        return self.node(op, *(sides if op == "Div" else draw(st.permutations(sides))))

    def computed(self, draw):
        """A factor and a shape that no input can change."""
        tensor = onnx.numpy_helper.from_array(self.by_channel(0.5, 1).astype(np.float32))
        factor = self.node("Add", self.node("Constant", value=tensor), self.weight(0.25))
        whole = self.node("Shape", self.value)
        return self.node("Reshape", self.node("Mul", self.value, factor), whole)

    def gelu(self, draw):
        """GELU by way of Erf, with the half on either side."""
        erf = self.node("Erf", self.node("Div", self.value, self.weight(2**0.5)))
        phi, half = self.node("Add", erf, self.weight(1.0)), self.weight(0.5)
        if draw(st.booleans()):
            return self.node("Mul", self.node("Mul", self.value, half), phi)
        return self.node("Mul", self.node("Mul", self.value, phi), half)

    def norm(self, draw):
        """A layer or RMS normalisation of the last axis."""
        last, value = self.weight(np.array([-1])), self.value
        if draw(st.booleans()):
            value = self.node("Sub", value, self.node("ReduceMean", value, last))
        square = self.node("Pow", value, self.weight(2.0))
        mean = self.node("ReduceMean", square, last)
        root = self.node("Sqrt", self.node("Add", mean, self.weight(1e-3)))
        normal = self.node("Div", value, root)
        return self.node("Mul", normal, self.weight(self.rng.uniform(0.5, 1.5, SIZE)))

    def linear(self, value, spread=1.0):
        """A product with a square matrix, and a bias."""
        weight = self.rng.normal(0, spread * SIZE**-0.5, (SIZE, SIZE))
        bias = self.weight(self.rng.normal(0, 0.1, SIZE))
        return self.node("Add", self.node("MatMul", value, self.weight(weight)), bias)

    def attention(self, draw):
        """Two heads over rows of the image, and a product behind them."""
        rows, half = SIZE * self.channels, SIZE // 2
        flat = self.weight(np.array([2, rows, SIZE]))
        heads, x = self.weight(np.array([2, rows, 2, half])), self.value
        x = self.node("Reshape", x, flat)
        perms = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        query, key, value = (
            self.node("Transpose", self.node("Reshape", self.linear(x, 0.5), heads), perm=perm)
            for perm in perms
        )
        scores = self.node("Div", self.node("MatMul", query, key), self.weight(2.0))
        if draw(st.booleans()):
            mask = self.rng.normal(0, 1, (1, 1, draw(st.sampled_from((1, rows))), rows))
            scores = self.node("Add", scores, self.weight(mask))
        mixed = self.node("MatMul", self.node("Softmax", scores), value)
        mixed = self.node("Reshape", self.node("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
        shape = self.weight(np.array([2, self.channels, SIZE, SIZE]))
        return self.node("Reshape", self.linear(self.linear(mixed)), shape)

    def layouts(self, draw):
        """There and back, or almost: transposed twice, or reshaped twice."""
        if draw(st.booleans()):
            turned = self.node("Transpose", self.value, perm=[0, 1, 3, 2])
            return self.node("Transpose", turned, perm=[0, 1, 3, 2])
        flat = self.node("Flatten", self.value)
        shape = self.weight(np.array([2, self.channels, SIZE, SIZE]))
        return self.node("Reshape", flat, shape)

    def hollow(self, draw):
        """A convolution some of whose filters are zero, and one behind it."""
        weight = self.rng.normal(0, 1, (4, self.channels, 1, 1))
        weight[sorted(draw(st.sets(st.integers(0, 3), min_size=1)))] = 0
        bias = self.rng.normal(0, 0.5, 4) * draw(st.booleans())
        inner = self.node("Conv", self.value, self.weight(weight), self.weight(bias))
        inner, edge = self.node("Relu", inner), draw(st.sampled_from((1, 3)))
        shape = (self.channels, 4, edge, edge)
        behind = self.weight(self.rng.normal(0, 0.5 / edge, shape))
        return self.node("Conv", inner, behind, pads=[edge // 2] * 4)

    def turned(self, draw):
        """Arithmetic with the channels last, and a convolution behind it."""
        last = self.node("Transpose", self.value, perm=[0, 2, 3, 1])
        number = self.rng.uniform(0.5, 2, self.channels)
        op = draw(st.sampled_from(("Add", "Sub", "Mul", "Div")))
        done = self.node(op, last, self.weight(number))
        self.value = self.node("Transpose", done, perm=[0, 3, 1, 2])
        return self.conv(draw)

    def swapped(self, draw):
        """Channels in another order, arithmetic or not, and a convolution behind them."""
        order = self.weight(np.array(draw(st.permutations(range(self.channels)))))
        self.value = self.node("Gather", self.value, order, axis=1)
        if draw(st.booleans()):
            self.value = self.arithmetic(draw)
        return self.conv(draw)

    def chain(self, draw):
        """Some arithmetic, and an activation on either side."""
        self.value = self.node("Relu", self.value)
        for _ in range(draw(st.integers(2, 4))):
            self.value = self.arithmetic(draw)
        return self.node("Relu", self.value)

    def resampled(self, draw):
        """Enlarged and made small again, or the other way round."""
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        factor = draw(st.sampled_from((0.5, 2.0, 4.0)))
        for each in (factor, 1 / factor):
            scales = self.weight(np.float32([1, 1, each, each]))
            self.value = self.node("Resize", self.value, "", scales, **how)
        return self.unary(draw)

    def bounded(self, draw):
        """A Clip and a Relu, in either order."""
        first, second = draw(st.permutations(("Clip", "Relu")))
        for op in (first, second):
            bounds = [self.weight(-0.5), self.weight(1.5)] if op == "Clip" else []
            self.value = self.node(op, self.value, *bounds)
        return self.value

    def precise(self, draw):
        """By way of double precision, with something there or not."""
        self.value = self.node("Cast", self.value, to=onnx.TensorProto.DOUBLE)
        if draw(st.booleans()):
            self.value = self.node("Relu", self.value)
        return self.node("Cast", self.value, to=onnx.TensorProto.FLOAT)

    def recurrent(self, draw):
        """A GRU over the rows, from zero or another state."""
        rows = 2 * self.channels
        x = self.node("Reshape", self.value, self.weight(np.array([rows, SIZE, SIZE])))
        shapes = ((1, 3 * SIZE, SIZE), (1, 3 * SIZE, SIZE), (1, 6 * SIZE))
        numbers = [self.weight(self.rng.normal(0, 0.3, shape)) for shape in shapes]
        state = np.full((1, SIZE, SIZE), draw(st.sampled_from((0.0, 0.5))))
        y = self.node("GRU", x, *numbers, "", self.weight(state), hidden_size=SIZE)
        shape = self.weight(np.array([2, self.channels, SIZE, SIZE]))
        return self.node("Reshape", y, shape)

    def chosen(self, draw):
        """One of two values, always the same."""
        condition = self.weight(
            np.full(draw(st.sampled_from(((), (SIZE,)))), draw(st.booleans()))
        )
        return self.node("Where", condition, self.value, self.node("Relu", self.value))

    def table(self, draw):
        """A row for numbers and one for what is none, of a table with more."""
        index = self.node("Cast", self.node("IsNaN", self.value), to=onnx.TensorProto.INT64)
        row = self.node("Gather", self.weight(self.rng.normal(0, 1, (6, 1))), index)
        return self.node(
            "Add", self.value, self.node("Squeeze", row, self.weight(np.array([4])))
        )

    def dead(self, draw):
        self.node("Exp", self.node("Relu", self.value))
        return self.value

    def model(self, outputs):
        info = [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            for name in outputs
        ]
        entry = helper.make_tensor_value_info("x", 1, [2, self.start, SIZE, SIZE])
        graph = helper.make_graph(self.nodes, "random", [entry], info, self.weights)
        proto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
        )
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


@st.composite
def networks(draw, layers, start=None):
    """A network of some layers; what it reads has ``start`` channels, or any number."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    network = Network(rng, draw(st.sampled_from(CHANNELS)) if start is None else start)
    values = []
    for layer in draw(st.lists(st.sampled_from(layers), min_size=2, max_size=8)):
        network.value = getattr(network, layer)(draw)
        values.append(network.value)
    network.value = network.pool(draw)
    also = draw(st.none() | st.sampled_from(values))
    model = network.model([network.value] if also in (None, "x") else [network.value, also])
    if draw(st.booleans()):  # as exporters leave it that infer nothing
        for node in model.graph:
            node.outputs[0].shape = None
    return model

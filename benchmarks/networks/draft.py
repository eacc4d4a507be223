"""A model under construction, whose weights are drawn as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as ir_passes
from onnx_ir.tape import Tape

OPSET = 17


class Draft:
    """Nodes and seeded random weights, as PyTorch's exporter would write them.

    Args:
        name: The graph's name.
        shape: Shape of the only input, ``x``, float32.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        self._name = name
        self._tape = Tape()
        self._rng = np.random.default_rng(0)
        self.inputs = [ir.val("x", ir.DataType.FLOAT, list(shape))]

    def input(self, name: str, dtype: ir.DataType, shape: Sequence[int]) -> ir.Value:
        """Return another input."""
        self.inputs.append(ir.val(name, dtype, list(shape)))
        return self.inputs[-1]

    def op(self, op: str, *inputs: ir.Value, **attributes: object) -> ir.Value:
        """Return the output of a new node."""
        return self._tape.op(op, inputs, attributes)  # type: ignore[arg-type]

    def split(self, value: ir.Value, axis: int, parts: int) -> Sequence[ir.Value]:
        """Return equal parts of a value along an axis."""
        return self._tape.op_multi_out("Split", [value], {"axis": axis}, num_outputs=parts)

    def constant(self, value: object, dtype: type = np.float32) -> ir.Value:
        """Return a constant."""
        name = f"c{len(self._tape.initializers)}"
        return self._tape.initializer(ir.tensor(np.asarray(value, dtype)), name)

    def normal(self, *shape: int, deviation: float) -> ir.Value:
        """Return a normally distributed weight of mean zero."""
        return self.constant(self._rng.standard_normal(shape) * deviation)

    def uniform(self, *shape: int, low: float = -0.1, high: float = 0.1) -> ir.Value:
        """Return a uniformly distributed weight."""
        return self.constant(self._rng.uniform(low, high, shape))

    def conv(
        self,
        x: ir.Value,
        shape: tuple[int, int, int],
        *,
        stride: int = 1,
        groups: int = 1,
        gain: float = 2.0,
    ) -> ir.Value:
        """Return a convolution with bias, padded to keep the size at stride 1.

        Args:
            x: Its input.
            shape: Input channels, output channels, edge of the window.
            stride: Step of the window.
            groups: Groups of channels.
            gain: Variance of the output by the mean square of the input.
        """
        channels, filters, edge = shape
        fan_in = channels // groups * edge * edge
        weight = self.normal(
            filters, channels // groups, edge, edge, deviation=(gain / fan_in) ** 0.5
        )
        return self.op(
            "Conv",
            x,
            weight,
            self.uniform(filters),
            kernel_shape=[edge, edge],
            strides=[stride, stride],
            pads=[edge // 2] * 4,
            group=groups,
        )

    def linear(self, x: ir.Value, width: int, filters: int) -> ir.Value:
        """Return a matrix product with a weight over the last axis, and a bias."""
        product = self.op("MatMul", x, self.normal(width, filters, deviation=width**-0.5))
        return self.op("Add", self.uniform(filters), product)

    def classify(self, x: ir.Value, width: int, classes: int) -> ir.Value:
        """Return logits of ``float[1, width]``."""
        weight = self.normal(classes, width, deviation=width**-0.5)
        return self.op("Gemm", x, weight, self.uniform(classes), transB=1)

    def finish(self, *outputs: ir.Value) -> ir.Model:
        """Return the model; its outputs are called ``y``, ``y1`` and so on."""
        for position, value in enumerate(outputs):
            value.name = f"y{position or ''}"
        graph = ir.Graph(
            self.inputs,
            outputs,
            nodes=self._tape.nodes,
            initializers=self._tape.initializers,
            opset_imports={"": OPSET},
            name=self._name,
        )
        model = ir.Model(graph, ir_version=8)
        ir_passes.NameFixPass()(model)
        ir_passes.ShapeInferencePass()(model)
        ir_passes.CheckerPass()(model)
        return model

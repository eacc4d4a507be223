"""Networks as onnxruntime.quantization writes them: QDQ, a scale for each filter."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import light
import numpy as np
import onnx
import onnx.version_converter
import onnx_ir as ir
from convolutional import mobilenet_v2
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from suture.compiler.verify import Arrays, seeded_inputs

CALIBRATED_ON = 2
OPSET = 17
"""Scales for each filter came with 13."""


class _Seeded(CalibrationDataReader):
    """A few random inputs."""

    def __init__(self, model: ir.Model) -> None:
        rng = np.random.default_rng(0)
        self._inputs = iter([seeded_inputs(model, rng) for _ in range(CALIBRATED_ON)])

    def get_next(self) -> Arrays | None:
        return next(self._inputs, None)


def quantised(network: Callable[[], ir.Model], *, seven_bits: bool) -> ir.Model:
    """Return a network in 8 bits.

    Args:
        network: Makes it in float32.
        seven_bits: Whether weights use seven of them, so that no sum of two products in 16
            bits saturates.
    """
    model = network()
    with tempfile.TemporaryDirectory() as folder:
        plain, made = Path(folder) / "plain.onnx", Path(folder) / "made.onnx"
        proto = onnx.version_converter.convert_version(ir.to_proto(model), OPSET)
        onnx.save(proto, plain)
        quantize_static(
            plain,
            made,
            _Seeded(model),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=seven_bits,
        )
        return ir.external_data.load_to_model(ir.load(made))


RESNET50 = partial(light.light, "resnet50")
QUANTISED: dict[str, Callable[[], ir.Model]] = {
    "resnet50_int7": partial(quantised, RESNET50, seven_bits=True),
    "resnet50_int8": partial(quantised, RESNET50, seven_bits=False),
    "mobilenet_v2_int7": partial(quantised, mobilenet_v2, seven_bits=True),
}

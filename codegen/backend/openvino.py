"""OpenVINO, to be measured against; nothing that ships holds it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from suture.codegen.backend.base import Array
from suture.errors import BackendError, Location


class OpenVinoProgram:
    """Runs a model file in OpenVINO on the CPU: float32, one stream, set up for latency.

    Args:
        path: The model.
        threads: Threads of the stream.

    Raises:
        BackendError: OpenVINO is not installed, or does not take the model.
    """

    def __init__(self, path: Path, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise BackendError(
                "OpenVINO is not installed",
                at=Location("openvino"),
                hint="install the extra: pip install 'suture[bench]'",
            ) from error
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads),
        }
        try:
            compiled = openvino.Core().compile_model(path, "CPU", options)
        except RuntimeError as error:
            raise BackendError(
                f"OpenVINO {openvino.__version__} cannot load it: {error}",
                at=Location(str(path)),
            ) from error
        self._request = compiled.create_infer_request()
        self._names = [output.any_name for output in compiled.outputs]

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once.

        Raises:
            BackendError: OpenVINO refuses the inputs.
        """
        try:
            values = self._request.infer(dict(inputs), share_inputs=True)
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"OpenVINO refuses the inputs: {error}") from error
        return {
            name: np.asarray(value)
            for name, value in zip(self._names, values.values(), strict=True)
        }

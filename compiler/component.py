"""One reusable ONNX model and what it promises."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from suture.errors import Location, RequestError

Dim = int | str


@dataclass(frozen=True, kw_only=True)
class Port:
    """A named, typed input or output.

    Attributes:
        name: The value's name in the ONNX graph.
        kind: What the numbers mean, as ``family/detail``: ``image/gray``, ``class/digit``
            (probabilities over classes), ``logits/digit``, ``tensor``. Ports join only
            where kinds are equal or an adapter turns one into the other.
        dtype: NumPy's name of the element type, for example ``float32``.
        shape: A size or a symbol for each axis.
        layout: Names of the axes where they matter, for example ``HW``, ``HWC``, ``NCHW``.
        range: Least and greatest value the port holds, or None where it is unbounded.
    """

    name: str
    kind: str
    dtype: str
    shape: tuple[Dim, ...]
    layout: str | None = None
    range: tuple[float, float] | None = None

    def bound(self, shape: tuple[int, ...]) -> Port:
        """Return this port with the shape of real data in place of its symbols.

        Raises:
            RequestError: The data has another number of axes, or another fixed size.
        """
        if len(shape) != len(self.shape) or any(
            isinstance(dim, int) and dim != size
            for dim, size in zip(self.shape, shape, strict=True)
        ):
            raise RequestError(
                f"data of shape {list(shape)} does not fit {self}", at=Location(self.name)
            )
        return replace(self, shape=shape)

    def __str__(self) -> str:
        dims = ",".join(str(dim) for dim in self.shape)
        return f"{self.name}:{self.kind} {self.dtype}[{dims}]" + (
            f" {self.layout}" if self.layout else ""
        )


@dataclass(frozen=True, order=True)
class Metric:
    """A figure of merit and the data set it was measured on; higher is better."""

    dataset: str
    name: str
    value: float


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What one run needs, read from the model with free symbols taken as 1.

    Attributes:
        params: Number of weights.
        flops: Floating-point operations, a multiply-add counted as two.
        peak_bytes: Largest sum of live activations in graph order.
        devices: Where it may run.
    """

    params: int
    flops: int
    peak_bytes: int
    devices: tuple[str, ...] = ("cpu",)


@dataclass(frozen=True)
class Dependency:
    """Another component that must stand before this one in a plan.

    Attributes:
        name: The component's name.
        versions: A PEP 440 specifier set such as ``>=1.0,<2``; empty for any.
    """

    name: str
    versions: str = ""

    def __str__(self) -> str:
        return self.name + self.versions


@dataclass(frozen=True, kw_only=True)
class Component:
    """An ONNX model with typed ports and declared capabilities.

    Attributes:
        name: Lower-case name, unique together with ``version`` in a library.
        version: A PEP 440 version.
        provides: The capability, for example ``denoise`` or ``classify``.
        digest: SHA-256 of ``model.onnx`` and its external data, in hexadecimal.
        opset: Version of the default ONNX operator set the model imports.
        path: The local ``model.onnx``.
    """

    name: str
    version: str
    provides: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    resources: Resources
    digest: str
    opset: int
    path: Path
    metrics: tuple[Metric, ...] = ()
    depends: tuple[Dependency, ...] = ()
    licence: str = "unknown"
    provenance: str = ""

    @property
    def ref(self) -> str:
        """The text that names exactly this component in a plan: ``name@version``."""
        return f"{self.name}@{self.version}"

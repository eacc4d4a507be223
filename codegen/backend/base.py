"""What a backend is, and what it makes of a linked model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy.typing as npt
import onnx_ir as ir

from suture.codegen.choose.base import Choice
from suture.codegen.link import Parts
from suture.compiler.target import Target

Array = npt.NDArray[Any]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One kernel of a compiled program, for the report.

    Attributes:
        name: The kernel's symbol, or the node's name where there is one kernel a node.
        op: What it computes, in ONNX terms where known.
        microseconds: Median time of one call, or None where it was not measured.
    """

    name: str
    op: str
    microseconds: float | None = None


@dataclass(frozen=True)
class Slot:
    """An input or output of a program with fixed shapes.

    Attributes:
        name: Its name in the model.
        shape: Sizes of the axes; empty for a scalar.
        dtype: NumPy's name of the element type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {list(self.shape)}"


@dataclass(frozen=True)
class Program:
    """One program of a ``libmodel.so``: what it reads and writes, in order."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A model as one backend would ship it.

    Attributes:
        backend: ``tvm`` or ``ort``.
        files: What goes into the package: name inside it → file on disk.
        parts: What ``link_program`` makes a native package's program of.
        arena_bytes: Memory for activations, or None where the runtime decides.
        weight_bytes: Bytes of the constants.
        programs: Those of ``libmodel.so``; empty where the runtime takes any shape.
        kernels: What runs, in order.
        choices: Why kernels have their schedules, by the kernels' names.
        seconds: Time to compile by phase, where it is known.
        notes: What the compiler decided, for the report.
    """

    backend: str
    files: Mapping[str, Path]
    arena_bytes: int | None
    weight_bytes: int
    parts: Parts
    programs: tuple[Program, ...] = ()
    kernels: tuple[Kernel, ...] = ()
    choices: Mapping[str, Choice] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = field(default=())


class Backend(Protocol):
    """Turns a model into files and runs those files on this machine."""

    name: ClassVar[str]

    def compile(
        self,
        model: ir.Model,
        target: Target,
        workdir: Path,
        *,
        sizes: Sequence[Mapping[str, int]] = (),
    ) -> Compiled:
        """Build the files under ``workdir``; the same model gives the same bytes.

        Args:
            model: The model.
            target: What for.
            workdir: Where files go.
            sizes: Sizes of free dimensions that requests may have; a backend that needs fixed
                shapes makes one program for each. Empty for a model without free dimensions.

        Raises:
            BackendError: The backend cannot hold the model; names node and operator.
        """

    def load(self, compiled: Compiled, model: ir.Model, *, threads: int) -> Run:
        """Return a function that runs the compiled files in this process."""

"""What emitters share: the function in the making, its kernels, and two layouts of images.

A tensor of channels has up to two forms: the plain one of ONNX, and a twin with channels in
blocks of one vector, ``(channels / lanes, height, width, lanes)``. Scheduled kernels give the
twin first; the plain form is written as well and is dropped as dead code where nobody reads
it. What works element by element is done to the twins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tvm import relax, te, tirx

from suture.codegen.choose.base import BY_FORMULA, Choice, Chooser, Constants, Question
from suture.codegen.emit.operands import Attributes, dims
from suture.codegen.phases import Phases
from suture.codegen.schedule.base import Epilogue, Processor, ceil_div
from suture.codegen.schedule.dot import Finish
from suture.compiler.spec import format_spec


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One node, as the importer meets it.

    Attributes:
        name: The operator.
        inputs: Relax values; None where an optional input is left out.
        attributes: As the importer reads them: numbers, lists, bytes.
        opset: The version of the operator set that it is of.
        stock: Makes TVM's own form of the operator from other inputs.
    """

    name: str
    inputs: Sequence[Any]
    attributes: Attributes
    opset: int
    stock: Callable[[Sequence[Any]], Any]


class Emitter:
    """Scheduled kernels of one function in the making.

    Args:
        builder: The function's builder.
        processor: What the kernels are for.
        chooser: Which of its schedules a kernel gets.
        phases: Where the time of choosing is counted.
        further: Returns what is weighed beside the schedules of an emitter's own rule.

    Attributes:
        twins: The twin of a value, where there is one.
        images: The images of a value of several, each a value of its own, where known.
        schedules: The kernels emitted so far by name, each with its schedule as a spec.
        choices: Why they have it, where there was a choice.
    """

    def __init__(
        self,
        builder: relax.BlockBuilder,
        processor: Processor,
        chooser: Chooser = BY_FORMULA,
        phases: Phases | None = None,
        further: Callable[[Any, Processor], Sequence[Any]] = lambda shape, processor: (),
    ) -> None:
        self.builder = builder
        self.processor = processor
        self.twins: dict[Any, Any] = {}
        self.images: dict[Any, tuple[Any, ...]] = {}
        self.schedules: dict[str, str] = {}
        self.choices: dict[str, Choice] = {}
        self._chooser, self._phases = chooser, phases or Phases()
        self._further = further
        self._kernels: dict[object, Any] = {}
        self._viewed: dict[Any, Any] = {}
        self._chosen: dict[Question, Choice] = {}
        self._reasons: dict[object, Choice] = {}

    def choose(
        self,
        schedules: Sequence[Any],
        shape: Any,
        epilogue: Epilogue | Finish,
        constants: Constants = lambda _: (),
    ) -> Any:
        """Return the schedule that a kernel gets; of equal kernels, the first decides.

        Args:
            schedules: The most promising first by formula, of one rule or of several.
            shape: What their ``kernel`` takes as the shape.
            epilogue: What their ``kernel`` takes as well.
            constants: Returns what the kernel of one of them reads from its second parameter
                on, as far as it is constant and its form depends on the schedule.

        Raises:
            BackendError: None of them can be built.
        """
        question = Question(
            schedules=(*schedules, *self._further(shape, self.processor)),
            shape=shape,
            epilogue=epilogue,
            processor=self.processor,
            constants=constants,
        )
        if question not in self._chosen:
            with self._phases.phase("choose"):
                choice = self._chooser.choose(question)
            self._chosen[question] = choice
            self._reasons[choice.schedule, shape, epilogue] = choice
        return self._chosen[question].schedule

    def call(
        self,
        schedule: Any,
        key: tuple[object, ...],
        kernel: Callable[[], Any],
        arguments: Sequence[Any],
        out: tuple[int, ...],
        dtype: str = "float32",
    ) -> Any:
        """Emit a call of a scheduled kernel; equal kernels are built once.

        Args:
            schedule: The rule's value, which names and prints the kernel.
            key: What tells kernels of one schedule apart, shape and epilogue.
            kernel: Makes the kernel.
            arguments: What it reads.
            out: The shape it writes.
            dtype: The type it writes.
        """
        choice = self._reasons.get((schedule, *key))
        function = self.function(
            (schedule.name, schedule, *key), (lambda: choice.kernel) if choice else kernel
        )
        name = function.name_hint
        self.schedules[name] = format_spec(schedule.name, schedule)
        if choice:
            self.choices[name] = choice
        call = relax.call_tir(function, list(arguments), relax.TensorType(out, dtype))
        return self.builder.emit(call)

    def function(self, key: tuple[object, ...], kernel: Callable[[], Any]) -> Any:
        """Return a kernel of the module, made where its key is new; a name begins the key."""
        if key not in self._kernels:
            name = f"{str(key[0]).replace('-', '_')}_{len(self._kernels)}"
            self._kernels[key] = self.builder.add_func(kernel(), name)
        return self._kernels[key]

    def reshaped(self, value: Any, shape: tuple[int, ...]) -> Any:
        """Return a value seen with another shape; a view of a view is one of the value."""
        value = self._viewed.get(value, value)
        if dims(value) == shape:
            return value
        view = self.builder.emit(relax.op.reshape(value, shape))
        self._viewed[view] = value
        return view

    def plain(self, twin: Any, channels: int) -> Any:
        """Return the plain form of a twin; dead code where nobody reads it."""
        blocks, height, width, lanes = dims(twin)
        whole = (1, channels, height, width)
        if height == width == 1 and blocks * lanes == channels:
            value = self.reshaped(twin, whole)
        else:
            value = self.builder.emit_te(
                lambda image: te.compute(
                    whole,
                    lambda _, c, i, j: image[c // lanes, i, j, c % lanes],
                    name="plain",
                ),
                twin,
                primfunc_name_hint="plain_layout",
            )
        self.twins[value] = twin
        return value

    def twin(self, value: Any) -> Any:
        """Return a value's twin, writing it where there is none yet."""
        if value not in self.twins:
            _, channels, height, width = dims(value)
            lanes = self.processor.lanes
            blocks = ceil_div(channels, lanes)

            def block(image: Any) -> Any:
                def read(b: Any, i: Any, j: Any, v: Any) -> Any:
                    channel = b * lanes + v
                    if blocks * lanes == channels:
                        return image[0, channel, i, j]
                    return tirx.if_then_else(
                        channel < channels,
                        image[0, channel, i, j],
                        tirx.const(0, image.dtype),
                    )

                return te.compute((blocks, height, width, lanes), read, name="blocked")

            self.twins[value] = self.builder.emit_te(
                block, value, primfunc_name_hint="blocked_layout"
            )
        return self.twins[value]


Emit = Callable[[Emitter, Operator], Any]
"""Emits an operator and returns its plain output, or None to leave it to TVM's importer."""

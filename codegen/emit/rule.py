"""What a schedule rule is: which operators become kernels, of what schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from suture.codegen.choose.base import Schedule
from suture.codegen.emit.base import Emit, Emitter, Operator
from suture.codegen.emit.images import emit_by_image
from suture.codegen.groups.base import Match
from suture.codegen.schedule.base import Processor
from suture.compiler.discovery import discover, load
from suture.errors import PluginError

GROUP = "suture.schedules"

Space = Callable[[Any, Processor], Sequence[Schedule]]
"""Returns the schedules of a shape for a processor, the most promising first."""


@dataclass(frozen=True, kw_only=True)
class ScheduleRule:
    """How some operators become scheduled kernels.

    Attributes:
        operators: Operators that ``emit`` is asked about, ONNX's or the kind of group that
            ``match`` makes.
        emit: Emits one, or returns None to leave it to the next rule, at last to TVM.
        match: Makes groups of nodes, which one kernel computes.
        schedules: The classes of its schedules, for people.
        further: Schedules of kernels that other rules emit, by the class of the kernel's
            shape: they read and write what those of the rule do, and are weighed with them.
        by_image: Whether an operator does the same to each image of four-dimensional operands,
            and ``emit`` takes one image: of several, it is asked about each.
        place: Rules are asked from the lowest to the highest; ours begin at 100.
    """

    operators: tuple[str, ...] = ()
    emit: Emit = lambda emitter, operator: None
    match: Match | None = None
    schedules: tuple[type, ...] = ()
    further: Mapping[type, Space] = field(default_factory=dict)
    by_image: Callable[[Operator], bool] = lambda operator: False
    place: int = 0


@dataclass(frozen=True)
class Rules:
    """Schedule rules in the order in which they are asked."""

    rules: tuple[ScheduleRule, ...]

    @classmethod
    def installed(cls) -> Rules:
        """Return every rule that is installed; of equal places, by name.

        Raises:
            PluginError: One does not load, or is no rule.
        """
        found = []
        for name, point in sorted(discover(GROUP).items()):
            rule = load(point)
            if not isinstance(rule, ScheduleRule):
                raise PluginError(f"{name!r} ({point.value}) is no ScheduleRule")
            found.append(rule)
        return cls(tuple(sorted(found, key=lambda rule: rule.place)))

    @property
    def matchers(self) -> tuple[Match, ...]:
        """What makes groups."""
        return tuple(rule.match for rule in self.rules if rule.match is not None)

    def emits(self, operator: str) -> bool:
        """Whether some rule is asked about an operator."""
        return any(operator in rule.operators for rule in self.rules)

    def emit(self, emitter: Emitter, operator: Operator) -> Any | None:
        """Emit an operator by the first rule that does; None leaves it to TVM's importer."""
        for rule in self.rules:
            if operator.name in rule.operators:
                if rule.by_image(operator):
                    made = emit_by_image(emitter, operator, rule.emit)
                else:
                    made = rule.emit(emitter, operator)
                if made is not None:
                    return made
        return None

    def further(self, shape: Any, processor: Processor) -> tuple[Schedule, ...]:
        """Return what rules add to the schedules of another rule's kernel."""
        return tuple(
            schedule
            for rule in self.rules
            for kind, space in rule.further.items()
            if type(shape) is kind
            for schedule in space(shape, processor)
        )

"""What a user wants: task.toml as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suture.compiler.component import Port
from suture.compiler.manifest import NAME_PATTERN, PortFacts, read_toml, validation_message
from suture.compiler.target import Target, find_target
from suture.errors import Location, ManifestError


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InputEntry(PortFacts):
    """What requests carry."""

    dtype: str = "float32"


class OutputEntry(_Strict):
    """What answers carry."""

    kind: str


class TaskEntry(_Strict):
    """The table ``[task]``."""

    name: str = Field(pattern=NAME_PATTERN)
    input: InputEntry
    output: OutputEntry
    library: str
    evaluation: str | None = None


class Objective(_Strict):
    """reward = accuracy - latency_weight * latency_ms - cost_weight * usd_per_million."""

    latency_weight: float = Field(default=0.002, ge=0, strict=True)
    cost_weight: float = Field(default=0.01, ge=0, strict=True)


class Limits(_Strict):
    """What no plan may exceed; None where the user sets no limit."""

    latency_p95_ms: float | None = Field(default=None, gt=0, strict=True)
    memory_mb: float | None = Field(default=None, gt=0, strict=True)
    package_mb: float | None = Field(default=None, gt=0, strict=True)
    min_accuracy: float | None = Field(default=None, ge=0, le=1, strict=True)


class TargetEntry(_Strict):
    """One platform to build for."""

    name: str
    memory_mb: int | None = Field(default=None, ge=128, le=10240, strict=True)


class TaskFile(_Strict):
    """The whole of a task.toml."""

    task: TaskEntry
    objective: Objective = Objective()
    limits: Limits = Limits()
    target: tuple[TargetEntry, ...] = (TargetEntry(name="lambda-x86_64"),)


def task_schema() -> str:
    """Return the JSON Schema of a task.toml, as published in docs."""
    schema = TaskFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True, kw_only=True)
class Task:
    """A wanted output, what it is worth, and where it must run.

    Attributes:
        name: What packages are called.
        input: The port that requests arrive at.
        output_kind: Kind of the answer.
        library: Folder (absolute) or URL of the components.
        evaluation: The ``.npz`` file accuracy is measured on, or None.
        objective: Weights of the reward.
        limits: Bounds on the chosen plan.
        targets: Platforms, in the order of the file.
        path: The task.toml itself.
    """

    name: str
    input: Port
    output_kind: str
    library: str
    evaluation: Path | None
    objective: Objective
    limits: Limits
    targets: tuple[Target, ...]
    path: Path


IMAGE_LAYOUTS = {2: "HW", 3: "HWC", 4: "NHWC"}
"""Layout of image data that does not say: what image decoders give, by rank."""


def read_task(path: Path) -> Task:
    """Return the task that a task.toml describes.

    Raises:
        ManifestError: A key is missing, unknown or of the wrong form; names the key.
        PluginError: A target is not installed.
    """
    try:
        entry = TaskFile.model_validate(read_toml(path))
    except ValidationError as error:
        where, message = validation_message(error)
        raise ManifestError(
            message,
            at=Location(str(path), where),
            hint="docs/task.schema.json lists every key",
        ) from error
    head = entry.task
    is_url = "://" in head.library
    return Task(
        name=head.name,
        input=task_port(head.input),
        output_kind=head.output.kind,
        library=head.library if is_url else str((path.parent / head.library).resolve()),
        evaluation=(path.parent / head.evaluation).resolve() if head.evaluation else None,
        objective=entry.objective,
        limits=entry.limits,
        targets=tuple(_target(chosen) for chosen in entry.target),
        path=path,
    )


def task_port(entry: InputEntry) -> Port:
    """Return the task's input as a port; images get their usual layout and range."""
    is_image = entry.kind.startswith("image/")
    layout, span = entry.layout, entry.range
    if is_image and layout is None:
        layout = IMAGE_LAYOUTS.get(len(entry.shape))
    if is_image and span is None and entry.dtype == "uint8":
        span = (0.0, 255.0)
    return Port(
        name="input",
        kind=entry.kind,
        dtype=entry.dtype,
        shape=entry.shape,
        layout=layout,
        range=span,
    )


def _target(entry: TargetEntry) -> Target:
    target = find_target(entry.name)
    return target.with_memory(entry.memory_mb) if entry.memory_mb else target

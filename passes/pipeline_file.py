"""Pipelines as TOML: a table for each pass, its options beside its name."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from suture.compiler.manifest import read_toml, validation_message
from suture.errors import Location, ManifestError

SUFFIX = ".toml"
SEPARATORS = re.compile(r"[{},]")


class PassEntry(BaseModel):
    """One ``[[pass]]``; whatever stands beside the name is an option."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str


class PipelineEntry(BaseModel):
    """A whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    passes: tuple[PassEntry, ...] = Field(alias="pass", min_length=1)


def read_pipeline(path: Path) -> str:
    """Return the pipeline in a file, as text.

    Raises:
        ManifestError: It cannot be read, a key is wrong, or an option cannot be text.
    """
    try:
        entry = PipelineEntry.model_validate(read_toml(path))
    except ValidationError as error:
        where, message = validation_message(error)
        raise ManifestError(message, at=Location(str(path), where)) from error
    return ",".join(_spec(each, path) for each in entry.passes)


def _spec(entry: PassEntry, path: Path) -> str:
    """Return a table as a spec; a question mark of the name goes behind the options."""
    options = [
        f"{key}={_text(value, Location(str(path), entry.name, key))}"
        for key, value in (entry.model_extra or {}).items()
    ]
    name = entry.name.removesuffix("?")
    braces = f"{{{','.join(options)}}}" if options else ""
    return name + braces + entry.name[len(name) :]


def _text(value: object, at: Location) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, (int, float, str)) or SEPARATORS.search(str(value)):
        raise ManifestError(
            "an option is true or false, a number, or text without braces and commas", at=at
        )
    return str(value)

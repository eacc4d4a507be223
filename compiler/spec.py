"""Options as text: ``name{key=value,key=value}`` ↔ a frozen dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
SPEC = re.compile(r"\s*([A-Za-z0-9_.*-]+)\s*(?:\{([^{}]*)\})?\s*")


class SpecError(ValueError):
    """A text that is no spec, or an option that does not fit; the caller adds the place."""


def parse_spec(text: str) -> tuple[str, dict[str, str]]:
    """Split one spec into its name and its options, dashes in keys read as underscores."""
    match = SPEC.fullmatch(text)
    if match is None:
        raise SpecError(f"{text!r} is not of the form name{{key=value}}")
    options: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in (match[2] or "").split(","))):
        key, equals, value = item.partition("=")
        if not equals:
            raise SpecError(f"option {item!r} of {match[1]!r} has no value")
        options[key.strip().replace("-", "_")] = value.strip()
    return match[1], options


def build_spec(cls: type[T], name: str, options: Mapping[str, str]) -> T:
    """Make the dataclass that options describe, each read as its field's type."""
    hints = get_type_hints(cls)
    known = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, text in options.items():
        if key not in known:
            raise SpecError(f"{name!r} has no option {key!r}" + did_you_mean(key, known))
        values[key] = _read(hints[key], text, f"{name}.{key}")
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name!r}: {error}") from error


def format_spec(name: str, value: Any) -> str:
    """Return the text that ``parse_spec`` and ``build_spec`` turn back into a dataclass."""
    options = ",".join(
        f"{field.name.replace('_', '-')}={_write(getattr(value, field.name))}"
        for field in dataclasses.fields(value)
        if field.init
    )
    return name + (f"{{{options}}}" if options else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a clause that names the nearest known word, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; it knows {', '.join(names)}" if names else ""


def _read(kind: Any, text: str, where: str) -> Any:
    if kind is bool:
        if text not in ("true", "false"):
            raise SpecError(f"{where} is true or false, not {text!r}")
        return text == "true"
    if kind not in (int, float, str):
        raise SpecError(f"{where} of type {kind} cannot be written as text")
    try:
        return kind(text)
    except ValueError as error:
        raise SpecError(f"{where} is of type {kind.__name__}, not {text!r}") from error


def _write(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

"""What a package is made from and how: what its SBOM and its provenance tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["model", "component", "task", "evaluation", "request"]
Option = str | int | list[dict[str, int]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that a package was made from.

    Attributes:
        kind: What it was: the model that was compiled, a component that this model was
            stitched from, or what the plan was chosen by.
        name: Its name, without a folder.
        version: A component's version; empty for anything else.
        digest: Its SHA-256, in hexadecimal. A stitched model is no file: it has the digest of
            its plan, in which the components are named by their digests.
        licence: An SPDX expression, or ``unknown``.
    """

    kind: Kind
    name: str
    digest: str
    version: str = ""
    licence: str = "unknown"


@dataclass(frozen=True)
class Rewrite:
    """What one pass did to the number of nodes."""

    name: str
    nodes_before: int
    nodes_after: int


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a package came about, without anything that differs between machines or runs.

    Attributes:
        version: Of the model, from the content.
        sources: What it was made from.
        options: What the user asked for, by the command line's names.
        rewrites: What the passes did, in order.
        schedules: The schedule of each kernel that has one.
        plugins: Name → version of the distributions of others that took part.
    """

    version: str
    sources: tuple[Source, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    rewrites: tuple[Rewrite, ...] = ()
    schedules: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)

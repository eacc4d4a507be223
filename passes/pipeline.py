"""Pipelines as text: ``fold-constants,fuse-*,prune-channels{budget=0.01}``.

An item is a pass with its options; a pattern for all passes whose names match, in the order
that they declare; a pipeline by name; or a TOML file. What ends with ``?`` is left out where
nothing of the name is installed.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import make_dataclass
from fnmatch import filter as matching
from pathlib import Path
from typing import get_type_hints

import onnx_ir as ir

from suture.compiler.discovery import discover, load
from suture.compiler.spec import SpecError, build_spec, did_you_mean, parse_spec
from suture.errors import Location, PassError
from suture.passes.base import GraphPass
from suture.passes.foreign import ForeignPass
from suture.passes.order import check_order, in_order
from suture.passes.pipeline_file import SUFFIX, read_pipeline

GROUP = "suture.passes"

PIPELINES: Mapping[str, str] = {
    "exact": "infer-shapes,remove-identities,fold-constants,remove-zero-states,"
    "prune-branches,prune-embedding-rows,merge-equal-subgraphs,raise-opset,"
    "fuse-layer-norm,fuse-activation,fuse-attention,join-projections,compose-layouts,"
    "fold-affine,sink-arithmetic,compose-arithmetic,"
    "fold-normalization,fold-channel-order,fold-pads,fold-batch-norm,"
    "prune-constant-channels,compose-casts,compose-clips,compose-layouts,compose-resizes,"
    "flatten-rows,fuse-gemm,merge-equal-subgraphs,prune-dead-nodes",
    "fast": "exact,prune-channels{required=false},exact",
    "small": "exact,prune-channels{required=false},exact,tile-*",
    "none": "",
}
"""Pipelines by name, of what is installed.

``exact`` leaves every answer as it was, up to rounding. ``fast`` and ``small`` also make use
of passes that keep to an accuracy budget, for time, or for bytes and memory.
"""

ITEM_END = re.compile(r",(?![^{]*\})")


def parse_pipeline(text: str) -> tuple[GraphPass, ...]:
    """Return the passes that a text selects, in order.

    Raises:
        PassError: No such pass or option is installed, and the hint names the nearest; or a
            pass comes before one that it must come after.
        ManifestError: A file cannot be read.
    """
    passes = tuple(_passes(text, within=()))
    check_order(passes)
    return passes


def format_pipeline(passes: tuple[GraphPass, ...]) -> str:
    """Return the text that ``parse_pipeline`` turns back into the passes."""
    return ",".join(map(str, passes))


def _passes(text: str, within: tuple[str, ...]) -> Iterator[GraphPass]:
    """Yield a text's passes; ``within`` are the files that led to it."""
    for item in filter(None, map(str.strip, ITEM_END.split(text))):
        if item in PIPELINES:
            yield from _passes(PIPELINES[item], within)
        elif item.endswith(SUFFIX):
            if item in within:
                raise PassError(
                    "the file is part of itself", at=Location("--passes", " > ".join(within))
                )
            yield from _passes(read_pipeline(Path(item)), (*within, item))
        else:
            yield from _matching(item)


def _matching(item: str) -> tuple[GraphPass, ...]:
    """Return the pass of an item, or those that its pattern matches."""
    at = Location("--passes", item)
    try:
        name, options = parse_spec(item.removesuffix("?"))
    except SpecError as error:
        raise PassError(str(error), at=at) from error
    installed = discover(GROUP)
    names = matching(installed, name) if "*" in name else [name] * (name in installed)
    if not names and not item.endswith("?"):
        raise PassError(
            f"no pass {name!r} is installed" + did_you_mean(name, [*installed, *PIPELINES]),
            at=at,
            hint="suture passes lists what is installed",
        )
    return in_order(_build(each, options, at) for each in names)


def _build(name: str, options: Mapping[str, str], at: Location) -> GraphPass:
    point = discover(GROUP)[name]
    cls = load(point)
    try:
        if isinstance(cls, type) and issubclass(cls, GraphPass):
            if cls.name != name:
                raise PassError(f"{point.value} calls itself {cls.name!r}", at=at)
            return build_spec(cls, name, options)
        if isinstance(cls, type) and issubclass(cls, ir.passes.PassBase):
            return _foreign(cls, name, options)
    except (SpecError, TypeError) as error:
        raise PassError(str(error), at=at) from error
    raise PassError(f"{point.value} is neither a GraphPass nor a pass of onnx_ir", at=at)


def _foreign(
    cls: type[ir.passes.PassBase], name: str, options: Mapping[str, str]
) -> ForeignPass:
    """Read each option as the constructor annotates it, text where it does not."""
    known = inspect.signature(cls).parameters
    for key in options:
        if key not in known:
            raise SpecError(f"{cls.__name__} has no option {key!r}" + did_you_mean(key, known))
    hints = get_type_hints(cls.__init__) if options else {}
    given = make_dataclass(cls.__name__, [(key, hints.get(key, str)) for key in options])
    inner = cls(**vars(build_spec(given, name, options)))
    return ForeignPass(name, inner, tuple(options.items()))

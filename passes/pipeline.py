"""Pipelines as text: ``fold-constants,fold-batch-norm,prune-dead-nodes``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import make_dataclass
from typing import get_type_hints

import onnx_ir as ir

from suture.compiler.discovery import discover, load
from suture.compiler.spec import SpecError, build_spec, did_you_mean, parse_spec
from suture.errors import Location, PassError
from suture.passes.base import GraphPass
from suture.passes.foreign import ForeignPass

GROUP = "suture.passes"

PIPELINES: Mapping[str, str] = {
    "exact": "remove-identities,fold-constants,fold-normalization,fold-batch-norm,"
    "merge-equal-subgraphs,prune-dead-nodes",
    "none": "",
}
"""Pipelines by name. ``exact`` leaves every answer as it was, up to rounding."""

ITEM_END = re.compile(r",(?![^{]*\})")


def parse_pipeline(text: str) -> tuple[GraphPass, ...]:
    """Return the passes that a text selects, in order; named pipelines may stand in it.

    Raises:
        PassError: No such pass or option is installed; the hint names the nearest.
    """
    passes: list[GraphPass] = []
    for item in filter(str.strip, ITEM_END.split(text)):
        named = PIPELINES.get(item.strip())
        passes += [_parse(item)] if named is None else parse_pipeline(named)
    return tuple(passes)


def format_pipeline(passes: tuple[GraphPass, ...]) -> str:
    """Return the text that ``parse_pipeline`` turns back into the passes."""
    return ",".join(map(str, passes))


def _parse(text: str) -> GraphPass:
    at = Location("--passes", text.strip())
    installed = discover(GROUP)
    try:
        name, options = parse_spec(text)
    except SpecError as error:
        raise PassError(str(error), at=at) from error
    if name not in installed:
        raise PassError(
            f"no pass {name!r} is installed" + did_you_mean(name, [*installed, *PIPELINES]),
            at=at,
            hint="suture passes lists what is installed",
        )
    cls = load(installed[name])
    try:
        if isinstance(cls, type) and issubclass(cls, GraphPass):
            return build_spec(cls, name, options)
        if isinstance(cls, type) and issubclass(cls, ir.passes.PassBase):
            return _foreign(cls, name, options)
    except (SpecError, TypeError) as error:
        raise PassError(str(error), at=at) from error
    raise PassError(
        f"{installed[name].value} is neither a GraphPass nor a pass of onnx_ir", at=at
    )


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

"""What a pass is.

A pass rewrites one model. It declares what it needs, says what it did, and says why it
left alone what it left alone; the manager checks all three.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.compiler.profile.base import RequestProfile
from suture.compiler.target import Target
from suture.errors import Location


@dataclass(frozen=True, kw_only=True)
class PassContext:
    """Facts a pass may read but not change."""

    target: Target
    profile: RequestProfile


@dataclass(frozen=True)
class Note:
    """One rewrite made or declined, and why."""

    at: Location
    reason: str


@dataclass(frozen=True)
class PassResult:
    """A model after a pass, with the pass's account of itself."""

    model: ir.Model
    made: tuple[Note, ...] = ()
    declined: tuple[Note, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything was rewritten."""
        return bool(self.made)


@dataclass(frozen=True)
class GraphPass(ABC):
    """One rewrite of a model, in place.

    Subclasses are frozen dataclasses: their fields are the pass's options, so a pass
    prints as the text that would select it on the command line.
    """

    name: ClassVar[str]

    def requires(self, model: ir.Model, ctx: PassContext) -> None:  # noqa: B027
        """Raise ``PassError`` if the model is not fit for this pass."""

    @abstractmethod
    def apply(self, model: ir.Model, ctx: PassContext) -> PassResult:
        """Rewrite the model and return the same object."""

    def ensures(self, result: PassResult, ctx: PassContext) -> None:  # noqa: B027
        """Raise ``PassError`` if the rewrite left a promise unkept."""

    def __str__(self) -> str:
        options = ",".join(
            f"{field.name.replace('_', '-')}={getattr(self, field.name)}"
            for field in dataclasses.fields(self)
        )
        return self.name + (f"{{{options}}}" if options else "")

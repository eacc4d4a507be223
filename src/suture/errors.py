"""Every error the package raises on purpose."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """Where in a user's input a problem sits.

    Attributes:
        component: A component, a file or a model: whatever the user would open first.
        node: A node in it, or a key of a manifest or task file.
        value: A value or port at that node.
    """

    component: str
    node: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        return "/".join(part for part in (self.component, self.node, self.value) if part)


class SutureError(Exception):
    """A failure that names its place.

    Args:
        message: What is wrong, in one sentence.
        at: The component, node or value it was found at.
        hint: What the reader can do about it.
    """

    def __init__(
        self, message: str, *, at: Location | None = None, hint: str | None = None
    ) -> None:
        self.message = message
        self.at = at
        self.hint = hint
        place = f"{at}: " if at else ""
        super().__init__(f"{place}{message}" + (f"\n  hint: {hint}" if hint else ""))


class ManifestError(SutureError):
    """A component.toml or task.toml that cannot be read as one."""


class ModelError(SutureError):
    """An ONNX file that is missing, corrupt or not a valid model."""


class LibraryError(SutureError):
    """A component library that cannot be read, written or locked."""


class PlanError(SutureError):
    """No plan satisfies a request."""


class LinkError(SutureError):
    """A plan whose components cannot be joined into one model."""


class PassError(SutureError):
    """A pass broke its own contract, or a pipeline names no such pass."""


class VerifyError(SutureError):
    """Two models that must compute the same do not."""


class BackendError(SutureError):
    """A model that a backend cannot hold; names the node and operator where it can."""


class PackageError(SutureError):
    """A package that cannot be built, is over a platform's limit, or is not ours."""


class InvokeError(SutureError):
    """A package that did not start or did not answer."""


class RequestError(SutureError):
    """Input data that does not fit what it is offered to."""


class PluginError(SutureError):
    """Two plug-ins of one name, or one that does not load."""


class SignatureError(SutureError):
    """A key or signature that cannot be read, or not be used."""

"""What a platform's own tool needs to deploy a package that lies beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from suture.codegen.link import PROGRAM
from suture.codegen.package import ENTRY, HANDLER, Written
from suture.codegen.render import render
from suture.compiler.target import Provider

TIMEOUT_S = 30
OWN_RUNTIME = "provided.al2023"
"""Lambda's name of no interpreter: it starts ``bootstrap``."""


@dataclass(frozen=True)
class Deployment:
    """One file.

    Attributes:
        name: Of the file.
        text: What is in it.
    """

    name: str
    text: str


def deployment(written: Written, suffix: str = "") -> Deployment:
    """Return the file for a package, with a suffix to its name where there are several."""
    return _WRITERS[written.target.provider](written, suffix)


def _serverless(written: Written, suffix: str) -> Deployment:
    architectures = {"x86_64": "x86_64", "aarch64": "arm64"}
    text = render(
        "aws_lambda",
        "serverless.yml",
        service=f"suture-{written.name}",
        function=written.name,
        artifact=written.path.name,
        runtime=written.python or OWN_RUNTIME,
        handler=HANDLER if written.python else PROGRAM,
        architecture=architectures[written.target.arch],
        memory_mb=written.target.memory_mb,
        timeout_s=TIMEOUT_S,
        description=f"{written.name}, made by suture with the backend {written.backend}",
    )
    return Deployment(f"serverless{suffix}.yml", text)


def _gcloud(written: Written, suffix: str) -> Deployment:
    name, target = f"deploy{suffix}.sh", written.target
    assert written.python is not None, "the native runtime is not for Google's functions"
    text = render(
        "gcf",
        "deploy.sh",
        name=name,
        function=written.name,
        artifact=written.path.name,
        runtime=written.python.replace(".", ""),
        entry=ENTRY,
        memory_mb=target.memory_mb,
        cpu=target.threads if target.memory_mb >= target.vcpu_mb else None,
        timeout_s=TIMEOUT_S,
    )
    return Deployment(name, text)


_WRITERS: Mapping[Provider, Callable[[Written, str], Deployment]] = {
    "aws_lambda": _serverless,
    "gcf": _gcloud,
}

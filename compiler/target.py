"""Where a program will run."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import Literal

from suture.compiler.discovery import discover, load
from suture.errors import PluginError

GROUP = "suture.targets"
VCPU_MB = 1769
"""Memory that buys one whole processor on Lambda (AWS docs)."""
Provider = Literal["aws_lambda", "local"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A platform, a processor and the memory a function is given there.

    Attributes:
        name: What the user types, for example ``lambda-x86_64``.
        provider: Which folder of templates describes the platform.
        arch: ``x86_64`` or ``aarch64``.
        mcpu: LLVM's name of the processor every host of the platform has at least.
        triple: Zig's target triple, with the oldest glibc of the platform.
        also: LLVM's names of better processors that the package holds kernels for as well, the
            best first; a program takes the first that its host is, when it starts.
        memory_mb: Memory given to the function, in MiB.
        zip_limit_bytes: Largest archive the platform takes directly.
        unzipped_limit_bytes: Largest unpacked package.
        usd_per_gb_second: Price of one GiB for one second.
        usd_per_request: Price of one request.
    """

    name: str
    provider: Provider
    arch: str
    mcpu: str
    triple: str
    also: tuple[str, ...] = ()
    memory_mb: int = VCPU_MB
    zip_limit_bytes: int = 50 * 2**20
    unzipped_limit_bytes: int = 250 * 2**20
    usd_per_gb_second: float = 0.0000166667
    usd_per_request: float = 0.0000002

    @property
    def threads(self) -> int:
        """Whole processors the memory size buys."""
        return max(1, self.memory_mb // VCPU_MB)

    @property
    def runs_here(self) -> bool:
        """Whether this machine has the target's instruction set."""
        return self.arch == platform.machine()

    def usd_per_million(self, latency_ms: float) -> float:
        """Return the price of a million warm requests of that length."""
        gb_seconds = latency_ms / 1e3 * self.memory_mb / 1024
        return (self.usd_per_request + self.usd_per_gb_second * gb_seconds) * 1e6

    def with_memory(self, memory_mb: int) -> Target:
        """Return this target with another memory size."""
        return replace(self, memory_mb=memory_mb)

    def with_own_libc(self) -> Target:
        """Return this target for programs that hold a C library (musl) of their own."""
        return replace(self, triple=f"{self.arch}-linux-musl")

    def with_threads(self, threads: int) -> Target:
        """Return this target with the memory that buys so many processors."""
        return self.with_memory(VCPU_MB * threads)


def lambda_x86_64() -> Target:
    """AWS Lambda on x86-64; AVX2 is the baseline and Amazon Linux 2023 has glibc 2.34."""
    return Target(
        name="lambda-x86_64",
        provider="aws_lambda",
        arch="x86_64",
        mcpu="x86-64-v3",
        triple="x86_64-linux-gnu.2.34",
    )


def lambda_x86_64_v4() -> Target:
    """AWS Lambda on x86-64, with AVX-512 where the host has it and AVX2 where not."""
    return replace(lambda_x86_64(), name="lambda-x86_64-v4", also=("x86-64-v4",))


def lambda_arm64() -> Target:
    """AWS Lambda on arm64; Graviton2 is the baseline (AWS docs), a fifth cheaper a second."""
    return Target(
        name="lambda-arm64",
        provider="aws_lambda",
        arch="aarch64",
        mcpu="neoverse-n1",
        triple="aarch64-linux-gnu.2.34",
        usd_per_gb_second=0.0000133334,
    )


def find_target(name: str) -> Target:
    """Return the installed target of a name.

    Raises:
        PluginError: No such target is installed; the message lists those that are.
    """
    points = discover(GROUP)
    if name not in points:
        raise PluginError(
            f"no target {name!r} is installed", hint=f"installed: {', '.join(sorted(points))}"
        )
    made = load(points[name])
    target = made() if callable(made) else made
    if not isinstance(target, Target):
        raise PluginError(f"target {name!r} of {points[name].value} is not a Target")
    return target

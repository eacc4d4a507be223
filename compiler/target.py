"""Where a program will run."""

from __future__ import annotations

import math
import platform
from dataclasses import dataclass, replace
from typing import Literal

from suture.compiler.discovery import discover, load
from suture.errors import PluginError

GROUP = "suture.targets"
VCPU_MB = 1769
"""Memory that buys one whole processor on Lambda (AWS docs)."""
GCF_VCPU_MB = 2048
"""The same on Google Cloud Functions (its docs' table, up to 4 GiB)."""
Provider = Literal["aws_lambda", "gcf", "local"]


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
        vcpu_mb: Memory that buys one whole processor, in MiB.
        zip_limit_bytes: Largest archive the platform takes directly.
        unzipped_limit_bytes: Largest unpacked package.
        usd_per_gb_second: Price of one GiB for one second.
        usd_per_request: Price of one request.
        billed_ms: Lengths of requests are rounded up to a multiple of this; 0 if to so little
            that it does not matter.
    """

    name: str
    provider: Provider
    arch: str
    mcpu: str
    triple: str
    also: tuple[str, ...] = ()
    memory_mb: int = VCPU_MB
    vcpu_mb: int = VCPU_MB
    zip_limit_bytes: int = 50 * 2**20
    unzipped_limit_bytes: int = 250 * 2**20
    usd_per_gb_second: float = 0.0000166667
    usd_per_request: float = 0.0000002
    billed_ms: float = 0.0

    @property
    def threads(self) -> int:
        """Whole processors the memory size buys."""
        return max(1, self.memory_mb // self.vcpu_mb)

    @property
    def runs_here(self) -> bool:
        """Whether this machine has the target's instruction set."""
        return self.arch == platform.machine()

    def usd_per_million(self, latency_ms: float) -> float:
        """Return the price of a million warm requests of that length."""
        step = self.billed_ms
        billed_ms = math.ceil(latency_ms / step) * step if step else latency_ms
        gb_seconds = billed_ms / 1e3 * self.memory_mb / 1024
        return (self.usd_per_request + self.usd_per_gb_second * gb_seconds) * 1e6

    def with_memory(self, memory_mb: int) -> Target:
        """Return this target with another memory size."""
        return replace(self, memory_mb=memory_mb)

    def with_own_libc(self) -> Target:
        """Return this target for programs that hold a C library (musl) of their own."""
        return replace(self, triple=f"{self.arch}-linux-musl")

    def with_threads(self, threads: int) -> Target:
        """Return this target with the memory that buys so many processors."""
        return self.with_memory(self.vcpu_mb * threads)


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


def gcf_x86_64() -> Target:
    """Google Cloud Functions, second generation, of the Python flavour.

    The price of a processor and its memory in the first tier of regions, put on the memory.
    Limits are those of the first generation, the second documents none. Google names no
    baseline of processors: a program for AVX2 says so when it starts without. Python 3.11 to
    3.13 run on Ubuntu 22.04, whose glibc is younger than 2.34.
    """
    return replace(
        lambda_x86_64(),
        name="gcf-x86_64",
        provider="gcf",
        memory_mb=GCF_VCPU_MB,
        vcpu_mb=GCF_VCPU_MB,
        zip_limit_bytes=100 * 2**20,
        unzipped_limit_bytes=500 * 2**20,
        usd_per_gb_second=0.000024 / (GCF_VCPU_MB / 1024) + 0.0000025,
        usd_per_request=0.0000004,
        billed_ms=100.0,
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

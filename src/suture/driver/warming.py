"""Fills Zig's cache, so that the first package of a machine is linked as fast as any other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import tvm

from suture.codegen.aot import AotPlan
from suture.codegen.backend.registry import zig_cache
from suture.codegen.build import build_parts
from suture.codegen.decoder import image_object
from suture.codegen.flavour import native_lacks
from suture.codegen.link import link_library, link_program
from suture.codegen.phases import Phases
from suture.codegen.specialise import Library
from suture.compiler.target import Target

NOTHING = AotPlan(tensors=(), calls=(), inputs=(), outputs=(), arena_bytes=0, weights=b"")
DOCUMENT = {
    "name": "nothing",
    "version": "0",
    "backend": "tvm",
    "threads": 1,
    "inputs": [],
    "outputs": [],
    "programs": [],
    "plan": None,
    "image": None,
}
BACKENDS = ("tvm", "ort")


@dataclass(frozen=True)
class Warmed:
    """What was linked for a triple.

    Attributes:
        triple: Zig's name of processor and C library.
        seconds: How long it took.
    """

    triple: str
    seconds: float


def warm(
    targets: Sequence[Target], cache: Path, *, workers: int, say: Callable[[Warmed], None]
) -> list[Warmed]:
    """Link programs of a model that computes nothing, for every triple of some targets.

    C libraries, the native runtime and its decoder of images, where that is installed, stay in
    the cache.

    Args:
        targets: Where packages will run.
        cache: Folder for what compilers keep.
        workers: How many triples at a time.
        say: Told of each triple when it is done.

    Raises:
        BackendError: Zig fails.
    """
    done = []
    with ThreadPoolExecutor(workers) as pool:
        for each in pool.map(lambda pair: _warm_one(*pair, cache=cache), triples(targets)):
            say(each)
            done.append(each)
    return done


def triples(targets: Sequence[Target]) -> Iterator[tuple[Target, bool]]:
    """Yield a target for each triple there is, and whether it stands for static programs."""
    one_each = {target.triple: target for target in targets}.values()
    for static in (True, False):  # the slow ones first
        triples = {
            (each.with_own_libc() if static else each).triple: each for each in one_each
        }
        yield from ((each, static) for each in triples.values())


def _warm_one(target: Target, static: bool, *, cache: Path) -> Warmed:
    began = time.perf_counter()
    zig = zig_cache(cache)
    library = Library(kernels=tvm.IRModule(), plans=(NOTHING,))
    with tempfile.TemporaryDirectory(prefix="suture-warm-") as folder:
        parts = build_parts(library, target, workdir=Path(folder), phases=Phases())
        if not static:
            link_library(parts, target, cache=zig)
        for backend in BACKENDS[:1] if static else BACKENDS:
            document = {**DOCUMENT, "backend": backend}
            link_program(parts, document, target, cache=zig, static=static)
        if native_lacks(target, image=True) is None:
            image_object(target.with_own_libc() if static else target, zig)
    triple = (target.with_own_libc() if static else target).triple
    return Warmed(triple, time.perf_counter() - began)

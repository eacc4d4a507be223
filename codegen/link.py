"""The native runtime and a compiled model, linked: ``libmodel.so`` and ``bootstrap``.

The runtime's own sources are the same for every model and are compiled once for each triple.
"""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from suture.codegen.decoder import image_object
from suture.codegen.served import served_source
from suture.codegen.zig import SCRATCH, compile_c, zig_version
from suture.compiler.target import Target

logger = logging.getLogger(__name__)

LIBRARY = "libmodel.so"
PROGRAM = "bootstrap"
KERNELS = ("rt.c", "cpu.c", "pool.c", "scratch.c", "ahead.c")
"""What runs a plan."""
ENGINES: Mapping[str, tuple[str, ...]] = {"tvm": ("aot.c", *KERNELS), "ort": ("ort.c",)}
"""Backend → what runs its models in ``bootstrap``."""
FAST = (*KERNELS, "data.c", "numbers.c")
"""Sources that are compiled for speed; the others, for few bytes."""
APART = ("runner.c", "image.c")
"""Sources that are compiled on their own."""
NO_DECODER = "image_none.c"
"""What stands in for ``image.c`` where requests are no images."""
FLAGS = (
    *("-std=c11", "-fPIC", "-fvisibility=hidden", "-fno-sanitize=all"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
)
COMPILE = (*FLAGS, "-ffunction-sections", "-fdata-sections", "-g0", "-r")
LINK = (*FLAGS, "-O2", "-s", "-Wl,--gc-sections")


@dataclass(frozen=True)
class Parts:
    """What of a model is linked with the runtime.

    Attributes:
        folder: Where the files lie, and what is linked of them.
        names: Generated sources and object code, the constants among them; none of a model
            that lies beside the program.
        digest: SHA-256 of the constants, which Zig does not see.
    """

    folder: Path
    names: tuple[str, ...] = ()
    digest: str = ""


def link_library(parts: Parts, target: Target, *, cache: Path) -> Path:
    """Link ``libmodel.so``; equal parts give equal bytes in any folder.

    Args:
        parts: Of the model.
        target: Its triple carries the oldest glibc the library must load with.
        cache: Zig's cache; what is compiled of the runtime is kept there as well.

    Raises:
        BackendError: The compiler or linker fails; carries what it printed.
    """
    copy_sources(["exports.map"], parts.folder)
    runtime = compile_runtime(KERNELS, target, cache=cache)
    flags = (*LINK, "-shared", "-Wl,--version-script=exports.map")
    return _link([*flags, str(runtime)], LIBRARY, parts, target, cache=cache)


def link_program(
    parts: Parts,
    document: Mapping[str, Any],
    target: Target,
    *,
    cache: Path,
    static: bool = False,
) -> Path:
    """Link ``bootstrap``, which serves a model by itself; equal parts give equal bytes.

    Args:
        parts: Of the model.
        document: The package's model.json.
        target: Its triple carries the oldest glibc the program must run with.
        cache: Zig's cache; what is compiled of the runtime is kept there as well.
        static: Whether the C library is in it (musl), so that it runs where there is none.

    Raises:
        BackendError: The compiler or linker fails; carries what it printed.
        PackageError: Requests are images, and their decoder is not installed.
    """
    if static:
        target = target.with_own_libc()
    (parts.folder / "served.c").write_text(served_source(document), encoding="utf-8")
    copy_sources(["served.h"], parts.folder)
    image = document["image"] is not None
    sources = server_sources(document["backend"], image=image)
    objects = compile_server(sources, target, cache=cache)
    if image:
        objects.append(image_object(target, cache.resolve()))
    flags = (*LINK, *(["-static"] if static else []))
    name = f"{PROGRAM}-static" if static else PROGRAM
    arguments = [*flags, *map(str, objects), "served.c"]
    return _link(arguments, name, parts, target, cache=cache)


def compile_server(sources: Sequence[str], target: Target, *, cache: Path) -> list[Path]:
    """Return object files of some of the runtime's sources, as a ``bootstrap`` holds them.

    Raises:
        BackendError: They do not compile.
    """
    fast = [name for name in sources if name in FAST]
    small = [name for name in sources if name not in FAST]
    return [
        compile_runtime(fast, target, cache=cache),
        compile_runtime(small, target, cache=cache, level="-Os"),
    ]


def compile_runtime(
    sources: Sequence[str], target: Target, *, cache: Path, level: str = "-O2"
) -> Path:
    """Return an object file of some of the runtime's sources, compiled for a triple before.

    Args:
        sources: Names of files.
        target: Its triple enters the code.
        cache: Zig's cache, which holds the object too.
        level: What the compiler optimises for.

    Raises:
        BackendError: They do not compile.
    """
    names = (*_named(".h"), *sources)
    flags = (*COMPILE, level)
    digest = hashlib.sha256(repr((target.triple, flags, zig_version(), names)).encode())
    for name in names:
        digest.update(hashlib.sha256((_folder() / name).read_bytes()).digest())
    kept = cache.resolve() / "runtime" / f"{digest.hexdigest()[:32]}.o"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="suture-runtime-", dir=kept.parent) as made_in:
            workdir = Path(made_in)
            copy_sources(names, workdir)
            compile_c(
                [*flags, *sources],
                kept.name,
                target,
                workdir=workdir,
                cache=cache,
                scratch=workdir / SCRATCH,
            ).replace(kept)
    return kept


def server_sources(backend: str, *, image: bool) -> tuple[str, ...]:
    """Return the runtime's sources that a ``bootstrap`` is made of: all but other engines."""
    engines = {name for names in ENGINES.values() for name in names}
    unused = engines.difference(ENGINES[backend]).union(APART, [NO_DECODER] if image else [])
    return tuple(name for name in _named(".c") if name not in unused)


def copy_sources(names: Sequence[str], workdir: Path) -> None:
    """Copy files of the native runtime into a folder."""
    for name in names:
        (workdir / name).write_bytes((_folder() / name).read_bytes())


def _folder() -> Traversable:
    return resources("suture.codegen.runtime") / "native"


def _named(ending: str) -> tuple[str, ...]:
    """Return the names of the runtime's files of a kind, sorted."""
    return tuple(
        sorted(each.name for each in _folder().iterdir() if each.name.endswith(ending))
    )


def _link(
    arguments: Sequence[str], name: str, parts: Parts, target: Target, *, cache: Path
) -> Path:
    """Compile what is generated of a model and link it.

    Zig caches compiled sources without looking into what they include as bytes: the digest of
    the weights makes the call unique.
    """
    unique = f"-DWEIGHTS_{parts.digest}"
    arguments = [*arguments, unique, *parts.names, "-Wl,--as-needed", "-lm"]
    made = compile_c(
        arguments,
        name,
        target,
        workdir=parts.folder,
        cache=cache,
        scratch=parts.folder / SCRATCH,
    )
    logger.info("linked %s for %s: %d bytes", name, target.triple, made.stat().st_size)
    return made

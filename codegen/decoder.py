"""The decoder of images in native packages: Wuffs, compiled once for each target."""

from __future__ import annotations

import hashlib
import re
import sys
import tarfile
import tempfile
from importlib.resources import files as resources
from pathlib import Path

from suture.codegen.zig import compile_c
from suture.compiler.target import Target
from suture.errors import Location, PackageError

REQUIREMENT = Path(str(resources("suture.codegen") / "decoder.txt"))
"""What pip downloads, and the digest of what it must be."""
SOURCES = ("image.c", "image.h", "text.h")
MEMBER = re.compile(r"[^/]+/libs/wuffs/release/c/wuffs-[^/]+\.c")
WUFFS = "wuffs.c"
ANCILLARY = re.compile(
    rb"status = wuffs_png__decoder__decode_(actl|chrm|exif|fctl|gama|iccp|srgb|trns)"
    rb"\(self, a_src\);"
)
"""Where Wuffs reads a chunk that ``image.c`` leaves out of a PNG before it is read."""
REFUSED = rb"status = wuffs_base__make_status(wuffs_png__error__bad_chunk);"
FLAGS = (
    *("-std=c11", "-Os", "-fPIC", "-fvisibility=hidden", "-fno-sanitize=all"),
    *("-fno-stack-protector", "-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
    *("-ffunction-sections", "-fdata-sections", "-isystem", "."),
)
"""For few bytes, at little cost in speed: Wuffs writes its hot loops with intrinsics."""


def image_object(target: Target, cache: Path) -> Path:
    """Return the object file of ``image.c`` with the decoder in it.

    It takes seconds to compile, so it is kept; equal sources and targets give equal bytes.
    Link with ``-Wl,--gc-sections``, beside ``text.c``.

    Args:
        target: Its triple and processor enter the code.
        cache: Zig's cache, which holds the object too.

    Raises:
        PackageError: The decoder is not in this environment, or is not the pinned one.
        BackendError: It does not compile.
    """
    native = resources("suture.codegen.runtime") / "native"
    sources = {name: (native / name).read_bytes() for name in SOURCES}
    arguments = (*FLAGS, f"-mcpu={target.mcpu.replace('-', '_')}", "-c", "image.c")
    text = "\0".join((target.triple, *arguments, _pinned()[1]))
    parts = (text.encode(), ANCILLARY.pattern, REFUSED, *sources.values())
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()
    kept = cache / "objects" / f"image-{digest[:24]}.o"
    if kept.is_file():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        workdir = Path(folder)
        for name, content in {**sources, WUFFS: decoder_source()}.items():
            (workdir / name).write_bytes(content)
        made = compile_c(arguments, "image.o", target, workdir=workdir, cache=cache)
        return made.replace(kept)


def decoder_source(root: Path | None = None) -> bytes:
    """Return Wuffs, one file of C, in which ancillary chunks of a PNG are bad ones.

    Args:
        root: Where pip put the source distribution; ``share/suture`` of this environment
            unless given.

    Raises:
        PackageError: It is not there, or its digest is not the pinned one.
    """
    folder = Path(sys.prefix, "share", "suture") if root is None else root
    pin, digest = _pinned()
    archive = folder / f"{pin.replace('==', '-')}.tar.gz"
    hint = (
        f"{sys.executable} -m pip download --no-deps --requirement {REQUIREMENT} "
        f"--dest {folder}"
    )
    if not archive.is_file():
        raise PackageError(
            "the decoder of JPEG and PNG for native packages is not installed",
            at=Location(str(archive)),
            hint=hint,
        )
    if hashlib.sha256(archive.read_bytes()).hexdigest() != digest:
        raise PackageError(
            "not the source distribution that is pinned",
            at=Location(str(archive)),
            hint=f"remove it, then {hint}",
        )
    with tarfile.open(archive) as members:
        member = next(m for m in members if MEMBER.fullmatch(m.name))
        stream = members.extractfile(member)
        assert stream is not None, "a digest pins a file of this name, not a folder"
        return ANCILLARY.sub(REFUSED, stream.read())


def decoder_pin() -> str:
    """Return ``name==version`` of the source distribution."""
    return _pinned()[0]


def _pinned() -> tuple[str, str]:
    """Return ``name==version`` and the SHA-256 of its source distribution."""
    match = re.search(
        r"^(\S+==\S+) --hash=sha256:([0-9a-f]{64})$", REQUIREMENT.read_text("utf-8"), re.M
    )
    assert match is not None, f"{REQUIREMENT} pins one distribution"
    return match[1], match[2]

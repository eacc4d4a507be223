"""What of Pillow a package needs to decode images, and bytecode for a known interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import PIL

from suture.errors import PackageError

PROBE = """
import json, sys
from PIL import Image
Image.preinit()
modules = [module for name, module in sys.modules.items() if name.split(".")[0] == "PIL"]
files = {getattr(module, "__file__", None) for module in modules}
with open("/proc/self/maps") as maps:
    files |= {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
print(json.dumps(sorted(f for f in files if f)))
"""

COMPILE = """
import json, py_compile, sys
for source, target, name in json.load(sys.stdin):
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(source, target, name, doraise=True, invalidation_mode=mode)
"""


def pillow_files() -> dict[str, Path]:
    """Return Pillow's modules for BMP, GIF, JPEG, PNG and PPM and the libraries they load.

    They are for the interpreter that runs this, and for no other version of Python.

    Raises:
        PackageError: Pillow does not import in a process of its own.
    """
    root = Path(PIL.__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROBE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackageError(
            f"Pillow does not import: {done.stderr.strip().splitlines()[-1]}",
            hint="reinstall it: pip install --force-reinstall pillow",
        )
    loaded = [Path(name).resolve() for name in json.loads(done.stdout)]
    folders = (root / "PIL", root / "pillow.libs")
    return {
        path.relative_to(root).as_posix(): path
        for path in loaded
        if path.parent in folders and path.is_file()
    }


def bytecode(sources: Mapping[str, bytes | Path]) -> dict[str, bytes]:
    """Return the bytecode of modules by the name it has in a package.

    It is never checked against its source, since the platform's files are read-only, and is
    made in a process of its own, so that equal sources give equal bytes.
    """
    tag = sys.implementation.cache_tag
    names = {name: Path(name) for name in sorted(sources) if name.endswith(".py")}
    with tempfile.TemporaryDirectory(prefix="suture-bytecode-") as folder:
        jobs = []
        for position, name in enumerate(names):
            source, target = Path(folder, f"{position}.py"), Path(folder, f"{position}.pyc")
            content = sources[name]
            source.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
            jobs.append((str(source), str(target), name))
        subprocess.run(
            [sys.executable, "-I", "-c", COMPILE],
            input=json.dumps(jobs),
            text=True,
            check=True,
            capture_output=True,
        )
        return {
            (path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").as_posix(): Path(
                target
            ).read_bytes()
            for path, (_, target, _) in zip(names.values(), jobs, strict=True)
        }

"""Files of Pillow that a package needs to decode images: what an import of it really loads."""

from __future__ import annotations

import json
import subprocess
import sys
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

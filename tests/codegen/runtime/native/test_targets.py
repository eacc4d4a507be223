import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
TRIPLES = ("x86_64-linux-gnu.2.34", "aarch64-linux-gnu.2.34", "x86_64-linux-musl")


@pytest.mark.parametrize("triple", TRIPLES)
def test_every_file_compiles_without_a_warning(triple, tmp_path):
    # image.c is compiled with Wuffs in test_image.py.
    for source in sorted({*RUNTIME.glob("*.c")} - {RUNTIME / "image.c"}):
        subprocess.run(
            [
                *(sys.executable, "-m", "ziglang", "cc", "-target", triple, *WARNINGS),
                *("-O2", "-c", str(source), "-o", str(tmp_path / f"{source.stem}.o")),
            ],
            check=True,
            env={"ZIG_GLOBAL_CACHE_DIR": str(tmp_path), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)},
        )

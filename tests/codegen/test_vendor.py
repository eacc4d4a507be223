import subprocess
import sys

from suture.codegen.vendor import bytecode, pillow_files

DECODE = """
import io, sys
sys.path.insert(0, sys.argv[1])
from PIL import Image
for kind in ("PNG", "JPEG", "BMP", "GIF", "PPM"):
    stream = io.BytesIO()
    Image.new("L", (3, 2), 7).save(stream, kind)
    assert Image.open(io.BytesIO(stream.getvalue())).convert("L").size == (3, 2)
print(Image.__file__)
"""


def test_pillow_decodes_with_nothing_but_these_files(tmp_path):
    for name, source in pillow_files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(source.read_bytes())
    command = [sys.executable, "-I", "-S", "-B", "-c", DECODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(tmp_path / "PIL" / "Image.py")


def test_bytecode_is_the_same_each_time_and_runs(tmp_path):
    sources = {"pack/mod.py": b"VALUE = [1, 'two', (3, 4)]\n", "pack/data.bin": b"\0"}
    first, second = bytecode(sources), bytecode(sources)
    assert first == second
    (name,) = first
    assert name == f"pack/__pycache__/mod.{sys.implementation.cache_tag}.pyc"
    (tmp_path / "pack" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pack" / "mod.py").write_bytes(b"VALUE = 'the source was read'\n")
    (tmp_path / name).write_bytes(first[name])
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pack.mod as m"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}; print(m.VALUE)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[1, 'two', (3, 4)]"

"""The C runtime over an engine that echoes, and its transports around a model that echoes."""

import contextlib
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNTIME = Path(str(files("suture.codegen.runtime") / "native"))
DECODING = tuple(
    RUNTIME / f"{name}.c"
    for name in (
        *("answer", "base64", "data", "events", "image_none", "inputs"),
        *("json", "numbers", "protocol", "serve", "text"),
    )
)
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
MODES = {
    "optimised": ("-O2",),
    "sanitized": ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
}


def served_source(model):
    """Return served.c of a model.json."""

    def shape(sizes):
        return f"(const int64_t[]){{{', '.join(map(str, sizes)) or 0}}}"

    def ports(specs):
        rows = (
            f'{{"{spec["name"]}", {spec["datatype"]}, {len(spec["shape"])}, '
            f"{shape(spec['shape'])}}}"
            for spec in specs
        )
        return f"(const struct Port[]){{{', '.join(rows)}}}"

    def sizes(program):
        lists = (
            f"(const int64_t *const[]){{{', '.join(map(shape, program[kind]))}}}"
            for kind in ("inputs", "outputs")
        )
        return f"{{{', '.join(lists)}}}"

    programs = model.get("programs", [])
    table = f"(const struct Sizes[]){{{', '.join(map(sizes, programs))}}}" if programs else "0"
    return f"""#include "served.h"
const struct Served served = {{
  .name = "{model["name"]}", .version = "{model["version"]}", .backend = "tvm",
  .plan = "one", .plan_digest = "two",
  .inputs = {ports(model["inputs"])}, .num_inputs = {len(model["inputs"])},
  .outputs = {ports(model["outputs"])}, .num_outputs = {len(model["outputs"])},
  .programs = {table}, .num_programs = {len(programs)}, .image_input = -1,
}};
"""


class Program:
    """A process of serve_program.c."""

    def __init__(self, path):
        self.process = subprocess.Popen(
            [str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def ask(self, body, *, kind="http", method="POST", path="/", content_type="-", length="-"):
        """Return status, document, bytes behind it, profile and correctness of one answer."""
        head = f"{kind} {method} {path} {content_type} {length} {len(body)}\n".encode()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(head + body)
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        status, _, *sizes = map(int, line.split())
        return (status, *(self.process.stdout.read(size) for size in sizes))

    def close(self):
        """End the process; return its status and what it has to say of memory it lost."""
        _, errors = self.process.communicate()
        return self.process.returncode, errors.decode()


@pytest.fixture(scope="session")
def compiler():
    found = shutil.which("gcc") or shutil.which("clang")
    if found is None:
        pytest.skip("no gcc or clang here, whose sanitizers this needs")
    return found


@pytest.fixture(scope="session")
def build(compiler, tmp_path_factory):
    """Compile sources, optimised or with sanitizers, to a program."""

    def build(mode, *sources):
        program = tmp_path_factory.mktemp("native") / "program"
        command = [compiler, *WARNINGS, *MODES[mode], "-I", str(RUNTIME), *map(str, sources)]
        subprocess.run([*command, "-pthread", "-o", str(program), "-lm"], check=True)
        return program

    return build


@pytest.fixture(scope="session")
def serve(build, tmp_path_factory):
    """Start the runtime for a model; what is started ends with the tests."""
    started = {}

    def serve(model, mode, engine=(HERE / "echo_engine.c",)):
        key = (repr(model), mode, engine)
        if key not in started:
            served = tmp_path_factory.mktemp("served") / "served.c"
            served.write_text(served_source(model), "utf-8")
            sources = (*DECODING, *engine, HERE / "serve_program.c", served)
            started[key] = Program(build(mode, *sources))
        return started[key]

    yield serve
    ends = [program.close() for program in started.values()]
    assert ends == [(0, "")] * len(ends)

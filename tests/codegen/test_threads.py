"""Threads of a compiled library, in a process that has no others."""

import functools
import json
import subprocess
import sys

import pytest

from suture.codegen.parallel import parallelize

SCRIPT = """
import ctypes, _ctypes, json, os, sys

def threads():
    return len(os.listdir("/proc/self/task"))

library = ctypes.CDLL(sys.argv[1])
seen = {"loaded": threads()}
library.model_init()
seen["initialised"] = threads()
memory = ctypes.create_string_buffer(4 * 4096)
start = ctypes.addressof(memory) + -ctypes.addressof(memory) % 64
inputs = (ctypes.c_void_p * 1)(start)
outputs = (ctypes.c_void_p * 2)(start + 4096, start + 8192)
library.model_run(inputs, outputs)
seen["ran"] = threads()
child = os.fork()
if not child:
    os._exit(library.model_run(inputs, outputs) or threads() != 2)
seen["child"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
seen["most"] = library.model_set_threads(99)
library.model_set_threads(1)
library.model_run(inputs, outputs)
seen["one thread"] = threads()
library.model_set_threads(2)
library.model_run(inputs, outputs)
seen["two again"] = threads()
_ctypes.dlclose(library._handle)
seen["unloaded"] = threads()
seen["mapped"] = sys.argv[1] in open("/proc/self/maps").read()
print(json.dumps(seen))
"""


@pytest.fixture
def library(conv_model, tvm_backend, target, tmp_path, monkeypatch):
    """A library of two threads, which shares every loop that may be."""
    share_all = functools.partial(parallelize, least_us=0)
    monkeypatch.setattr("suture.codegen.lower.parallelize", share_all)
    two = target.with_memory(2 * target.memory_mb)
    compiled = tvm_backend.compile(conv_model, two, tmp_path)
    assert any("2 threads" in note for note in compiled.notes)
    return compiled.files["libmodel.so"]


def test_threads_come_with_the_first_run_and_go_with_the_library(library):
    command = [sys.executable, "-c", SCRIPT, str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "loaded": 1,
        "initialised": 1,
        "ran": 2,
        "child": 0,
        "most": 2,
        "one thread": 1,
        "two again": 2,
        "unloaded": 1,
        "mapped": False,
    }

"""What the native runtime is told of a model, compiled and read back."""

import ast
import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.codegen.link import copy_sources
from suture.codegen.render import c_string
from suture.codegen.served import served_source, too_much
from suture.codegen.zig import compile_c

NAME = 'a "b" ??/ \\ é\n7%s'
READER = r"""
#include <stdio.h>
#include "served.h"

static void text(const char *key, const char *value) {
  printf("\"%s\": [", key);
  for (; *value; ++value) printf("%d%s", (unsigned char)*value, value[1] ? ", " : "");
  printf("], ");
}

static void shape(const int64_t *sizes, int rank) {
  printf("[");
  for (int i = 0; i < rank; ++i) printf("%s%lld", i ? ", " : "", (long long)sizes[i]);
  printf("]");
}

static void ports(const char *key, const struct Port *ports, int count) {
  printf("\"%s\": [", key);
  for (int i = 0; i < count; ++i) {
    printf("{");
    text("name", ports[i].name);
    printf("\"datatype\": %d, \"shape\": ", ports[i].datatype);
    shape(ports[i].shape, ports[i].rank);
    printf("}%s", i + 1 < count ? ", " : "");
  }
  printf("], ");
}

static void shapes(const char *key, const int64_t *const *sizes, const struct Port *ports,
                   int count) {
  printf("\"%s\": [", key);
  for (int i = 0; i < count; ++i) {
    shape(sizes[i], ports[i].rank);
    printf("%s", i + 1 < count ? ", " : "");
  }
  printf("]");
}

int main(void) {
  printf("{");
  text("name", served.name);
  text("version", served.version);
  text("backend", served.backend);
  text("plan", served.plan);
  text("digest", served.plan_digest);
  ports("inputs", served.inputs, served.num_inputs);
  ports("outputs", served.outputs, served.num_outputs);
  printf("\"programs\": [");
  for (int i = 0; i < served.num_programs; ++i) {
    printf("%s{", i ? ", " : "");
    shapes("inputs", served.programs[i].inputs, served.inputs, served.num_inputs);
    printf(", ");
    shapes("outputs", served.programs[i].outputs, served.outputs, served.num_outputs);
    printf("}");
  }
  printf("], \"image\": [%d, %d], \"threads\": %d}", served.image_input,
         served.image_channels, served.threads);
  return 0;
}
"""
DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64"),
)
"""In the order of served.h."""


def port(name, datatype, shape):
    return {"name": name, "datatype": datatype, "shape": shape}


FULL = {
    "name": NAME,
    "version": "7",
    "backend": "tvm",
    "threads": 3,
    "plan": {"name": "one > two", "digest": "d" * 64},
    "image": {"input": "z", "mode": "RGB"},
    "inputs": [port(NAME, "FP32", []), port("z", "UINT8", [-1, 5, 3])],
    "outputs": [port(f"y{i}", name, [i, -1]) for i, name in enumerate(DATATYPES)],
    "programs": [
        {"inputs": [[], [rows, 5, 3]], "outputs": [[i, rows] for i in range(len(DATATYPES))]}
        for rows in (1, 4, 2**40)
    ],
}
BARE = {**FULL, "plan": None, "image": None, "inputs": [], "outputs": [], "programs": []}


def read_back(document, target, folder, cache):
    """What a program sees of a document."""
    copy_sources(["served.h"], folder)
    (folder / "served.c").write_text(served_source(document), encoding="utf-8")
    (folder / "reader.c").write_text(READER)
    arguments = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "served.c",
        "reader.c",
    ]
    reader = compile_c(
        arguments, "reader", target, workdir=folder, cache=cache, scratch=folder / "zig"
    )
    return json.loads(subprocess.run([reader], check=True, capture_output=True).stdout)


def as_seen(ports):
    return [
        {
            **each,
            "name": list(each["name"].encode()),
            "datatype": DATATYPES.index(each["datatype"]),
        }
        for each in ports
    ]


@pytest.mark.parametrize("document", [FULL, BARE], ids=["full", "bare"])
def test_read_back(document, target, tmp_path, zig_cache):
    seen = read_back(document, target, tmp_path, zig_cache)
    assert bytes(seen["name"]).decode() == NAME
    assert [bytes(seen[key]) for key in ("version", "backend")] == [b"7", b"tvm"]
    named = ("one > two", "d" * 64) if document["plan"] else (NAME, "7")
    assert tuple(bytes(seen[key]).decode() for key in ("plan", "digest")) == named
    assert seen["inputs"] == as_seen(document["inputs"])
    assert seen["outputs"] == as_seen(document["outputs"])
    assert seen["programs"] == document["programs"]
    assert seen["threads"] == 3
    assert seen["image"] == ([1, 3] if document["image"] else [-1, 0])


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_becomes_a_literal(text):
    """Octal escapes mean the same in Python's literals of bytes."""
    literal = c_string(text)
    assert ast.literal_eval(f"b{literal}") == text.encode()
    assert literal.isascii()
    assert literal.isprintable()
    assert "??" not in literal


def test_limits():
    assert too_much(FULL) is None
    assert "more than 16 axes" in too_much({**FULL, "inputs": [port("x", "FP32", [1] * 17)]})
    many = [port(f"x{i}", "FP32", [1]) for i in range(65)]
    assert "64 outputs at most" in too_much({**FULL, "outputs": many})

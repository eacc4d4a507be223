"""``suture bench`` on real models, against both peers."""

import os
import sys
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

KEYS = {"suture_ms", "peer", "peer_ms", "ratio", "max_abs_err", "backend"}
QUICK = ("--seconds", "0")


@pytest.fixture
def one_node(tmp_path):
    """Write a model of one node and return its path."""

    def one_node(op, dims, out):
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(op, ["x"], ["y"], name="only")],
            op,
            [onnx.helper.make_tensor_value_info("x", 1, dims)],
            [onnx.helper.make_tensor_value_info("y", 1, out)],
        )
        opset = [onnx.helper.make_opsetid("", 17)]
        path = tmp_path / f"{op.lower()}.onnx"
        onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
        return path

    return one_node


@pytest.mark.parametrize("peer", ["ort", "openvino"])
def test_a_model(suture, net, peer):
    document = suture("bench", net, "--against", peer, "--json", *QUICK).json
    assert set(document) >= KEYS
    assert document["peer"] == peer
    assert document["backend"] in ("tvm", "ort")
    assert min(document["suture_ms"], document["peer_ms"], document["ratio"]) > 0
    assert 0 <= document["max_abs_err"] < 1e-4
    assert (document["threads"], document["pairs"]) == (1, 7)


def test_what_it_says_to_people(suture, net):
    told = suture("bench", net, *QUICK).out
    assert "ONNX Runtime" in told
    assert "the median of 7 pairs on 1 thread\n" in told


def test_a_task(suture, digits):
    arguments = ("bench", digits / "task.toml", "--input", digits / "spoilt.png")
    document = suture(*arguments, "--json", *QUICK).json
    assert document["name"] == "digits"
    assert 0 <= document["max_abs_err"] < 1e-4
    assert document["ratio"] > 0


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_two_threads_and_the_processors_as_before(suture, net):
    before = os.sched_getaffinity(0)
    document = suture("bench", net, "--threads", "2", "--json", *QUICK).json
    assert document["threads"] == 2
    assert os.sched_getaffinity(0) == before


def test_free_dimensions(suture, one_node, tmp_path):
    path = one_node("Tanh", ["batch", 8], ["batch", 8])
    assert suture("bench", path, "--json", *QUICK).json["backend"] == "ort"
    np.save(tmp_path / "x.npy", np.ones((3, 8), np.float32))
    document = suture(
        *("bench", path, "--bind", "batch=3", "--input", "x.npy", "--json"), *QUICK
    ).json
    assert "does not hold" not in document["reason"]
    assert "free" in suture("bench", path, "--bind", "length=3", code=2).err


def test_what_tvm_lacks_runs_in_onnx_runtime(suture, one_node):
    document = suture("bench", one_node("Det", [2, 2], []), "--json", *QUICK).json
    assert document["backend"] == "ort"
    assert "'Det'" in document["reason"]


def test_without_openvino(suture, net, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    err = suture("bench", net, "--against", "openvino", code=2).err
    assert "OpenVINO is not installed" in err
    assert "suture[bench]" in err


def test_a_model_that_openvino_does_not_take(suture, one_node):
    err = suture("bench", one_node("Det", [2, 2], []), "--against", "openvino", code=2).err
    assert "where: det\n" in err
    assert "cannot load it" in err
    assert "--against" in err


def test_pipelines_side_by_side_over_models(suture, net, digits, tmp_path):
    both = ("--passes", "none", "--passes", "remove-identities,fold-*")
    arguments = ("bench", net, digits / "task.toml", *both, "--backend", "ort", *QUICK)
    document = suture(*arguments, "-o", "bench", "--json").json
    assert [model["name"] for model in document["models"]] == ["net", "digits"]
    task = document["models"][1]["pipelines"]
    assert list(task) == ["none", "remove-identities,fold-*"]
    first, second = task.values()
    assert first["nodes"] > second["nodes"]
    assert first["ratio"] == 1
    assert second["ratio"] == pytest.approx(second["median_ms"] / first["median_ms"], rel=0.5)
    assert max(first["max_abs_err"], second["max_abs_err"]) < 1e-4
    assert document["mean_ratio"]["none"] == 1
    table, plot = ((tmp_path / path).read_text("utf-8") for path in document["files"])
    rows = [line.split(" | ") for line in table.splitlines()]
    assert [len(row) for row in rows] == [8] * 8
    assert rows[5][1] == "`remove-identities,fold-*`"
    assert ElementTree.fromstring(plot).tag == "{http://www.w3.org/2000/svg}svg"
    told = suture(*arguments).out
    assert "of the first, over 2: remove-identities,fold-*\n" in told


def test_a_pipeline_against_a_peer(suture, net):
    arguments = ("--passes", "none", "--backend", "ort", "--json", *QUICK)
    document = suture("bench", net, *arguments).json
    assert (document["backend"], document["reason"]) == ("ort", "as asked for")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("net", "net"), "give at least two"),
        (("net", "-o", "bench"), "give at least two"),
        (("net", "--passes", "none", "--passes", "exakt"), "did you mean 'exact'?"),
        (("none.onnx",), "no such file"),
        (("notes.txt",), "neither"),
        (("net", "--threads", "4096"), "--threads"),
        (("net", "--threads", "0"), "--threads"),
        (("net", "--against", "torch"), "torch"),
        (("net", "--target", "lambda-mips"), "lambda-x86_64"),
        (("net", "--bind", "batch"), "DIMENSION=SIZE"),
        (("task", "--bind", "batch=1"), "a task binds its own input"),
    ],
)
def test_bad_input(suture, net, digits, tmp_path, arguments, told):
    (tmp_path / "notes.txt").write_text("hello")
    paths = {"net": net, "task": digits / "task.toml"}
    done = suture("bench", *(paths.get(word, word) for word in arguments), code=2)
    assert told in done.err
    assert "Traceback" not in done.err

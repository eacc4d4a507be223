"""Wrong input: exit code 2, one screen, where and what and what to do, nothing left behind."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pytest

from suture.codegen.archive import write_archive


@pytest.fixture
def task(digits, tmp_path):
    """Write a task.toml over the example's library, changed as wanted."""
    shutil.copytree(digits / "library", tmp_path / "library")

    def task(*changes, name="task.toml"):
        text = (digits / "task.toml").read_text("utf-8")
        text = text.replace('"eval.npz"', json.dumps(str(digits / "eval.npz")))
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return task


def refused(suture, *arguments):
    """Return what a refused command printed; it leaves no output folder."""
    done = suture(*arguments, code=2)
    assert "error: " in done.err
    return done.err


def test_a_missing_model(suture, tmp_path):
    err = refused(suture, "compile", "none.onnx", "-o", "out")
    assert "none.onnx" in err
    assert "no such file" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [b"", b"not onnx", b"\x08\x08\x12\x04"])
def test_a_corrupt_model(suture, tmp_path, data):
    (tmp_path / "bad.onnx").write_bytes(data)
    assert "bad.onnx" in refused(suture, "compile", "bad.onnx", "-o", "out")
    assert not (tmp_path / "out").exists()


def test_a_truncated_model(suture, net, tmp_path):
    (tmp_path / "cut.onnx").write_bytes(net.read_bytes()[:-20])
    assert "cut.onnx" in refused(suture, "compile", "cut.onnx", "-o", "out")


def test_a_file_that_is_neither_task_nor_model(suture, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert "neither" in refused(suture, "compile", "notes.txt", "-o", "out")


def test_an_unknown_operator(suture, tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ImageScaler", ["x"], ["y"], name="scale")],
        "net",
        [onnx.helper.make_tensor_value_info("x", 1, [1, 3])],
        [onnx.helper.make_tensor_value_info("y", 1, [1, 3])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "old.onnx"
    )
    err = refused(suture, "compile", "old.onnx", "-o", "out")
    assert "scale" in err
    assert "'ImageScaler'" in err


def test_an_operator_that_tvm_lacks_is_named(suture, tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Det", ["x"], ["y"], name="volume")],
        "net",
        [onnx.helper.make_tensor_value_info("x", 1, [2, 2])],
        [onnx.helper.make_tensor_value_info("y", 1, [])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, tmp_path / "det.onnx")
    err = refused(suture, "compile", "det.onnx", "-o", "out", "--backend", "tvm")
    assert "volume" in err
    assert "'Det'" in err
    assert "ort" in err
    document = suture("compile", "det.onnx", "-o", "out", "--json").json
    assert document["packages"][0]["backend"] == "ort"
    assert "'Det'" in document["reason"]


def test_external_data_outside_its_folder(suture, net, tmp_path):
    model = onnx.load(net)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    (tmp_path / "evil.onnx").write_bytes(model.SerializeToString())
    assert "outside" in refused(suture, "compile", "evil.onnx", "-o", "out")
    assert "outside" in refused(suture, "library", "add", "evil.onnx", "--name", "evil")
    assert not (tmp_path / "library").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ([('name = "digits"', 'nmae = "digits"')], "nmae"),
        ([("latency_p95_ms = 20", 'latency_p95_ms = "fast"')], "latency_p95_ms"),
        ([("latency_p95_ms = 20", "latency_p95_ms = 0.00001")], "limits.latency_p95_ms"),
        ([("memory_mb = 512", "memory_mb = 1")], "limits.memory_mb"),
        ([("memory_mb = 512", "min_accuracy = 1.0")], "min_accuracy"),
        ([("class/digit", "class/digt")], "class/digt"),
        ([("image/gray", "audio/mono")], "audio/mono"),
        ([('"library"', '"nowhere"')], "nowhere"),
        ([("eval.npz", "none.npz")], "none.npz"),
        ([('"lambda-x86_64"', '"lambda-x86-64"')], "lambda-x86_64"),
        ([("[limits]", "[limits")], "task.toml"),
    ],
)
def test_a_bad_task(suture, task, tmp_path, change, told):
    assert told in refused(suture, "compile", task(*change), "-o", "out")
    assert not (tmp_path / "out").exists()


def test_an_unsatisfiable_limit_names_the_closest_plan(suture, task):
    err = refused(suture, "plan", task(("memory_mb = 512", "min_accuracy = 1.0")))
    assert "the closest is 'digit-" in err
    assert "hint" in err


def test_ports_that_cannot_be_joined(suture, task, tmp_path):
    for path in (tmp_path / "library").rglob("component.toml"):
        path.write_text(path.read_text("utf-8").replace("image/gray", "image/depth"))
    assert "image/depth" in refused(suture, "plan", task())


def test_a_wrong_digest(suture, task, tmp_path):
    path = next((tmp_path / "library").glob("digit-linear/*/model.onnx"))
    model = onnx.load(path)
    model.doc_string = "changed"
    onnx.save(model, path)
    err = refused(suture, "plan", task())
    assert "digit-linear@1.0.0" in err
    assert "SHA-256" in err


def test_an_unknown_key_in_a_manifest(suture, task, tmp_path):
    path = next((tmp_path / "library").glob("digit-linear/*/component.toml"))
    path.write_text(path.read_text("utf-8") + '\n[extra]\ncolour = "red"\n')
    assert "extra" in refused(suture, "plan", task())


def test_dependencies(suture, task, tmp_path):
    path = next((tmp_path / "library").glob("digit-linear/*/component.toml"))
    text = path.read_text("utf-8")
    path.write_text(text.replace("depends = []", 'depends = ["gone>=2"]'))
    assert "gone>=2" in refused(suture, "plan", task())
    path.write_text(text.replace("depends = []", 'depends = ["digit-deskew"]'))
    other = next((tmp_path / "library").glob("digit-deskew/*/component.toml"))
    other.write_text(
        other.read_text("utf-8").replace("depends = []", 'depends = ["digit-linear"]')
    )
    assert "cycle" in refused(suture, "plan", task())


@pytest.mark.parametrize(
    ("name", "data"),
    [("none.png", None), ("bad.png", b"\x89PNG\r\n\x1a\n"), ("bad.npy", b"\x93NUMPY\x01")],
)
def test_a_bad_request(suture, task, tmp_path, name, data):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert name in refused(suture, "plan", task(), "--input", name)
    assert name in refused(suture, "analyze", task(), name)


def test_a_request_of_another_shape(suture, task, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 2, 2), np.uint8))
    assert "[2, 2, 2]" in refused(suture, "plan", task(), "--input", "x.npy")


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--passes", "fold-batchnorm", "fold-batch-norm"),
        ("--passes", "fold-constants{limt=3}", "limit"),
        ("--target", "lambda-mips", "lambda-x86_64"),
        ("--bind", "batch", "DIMENSION=SIZE"),
        ("--bind", "batch=1,,8", "DIMENSION=SIZE"),
        ("--bind", "batch=1,0", "DIMENSION=SIZE"),
        ("--bind", "batch=2", "no dimension 'batch' is free"),
    ],
)
def test_bad_options(suture, net, tmp_path, option, value, told):
    assert told in refused(suture, "compile", net, "-o", "out", option, value)
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_none(suture, tmp_path):
    (tmp_path / "no.zip").write_text("nothing")
    assert "no.zip" in refused(suture, "invoke", "no.zip")
    assert "none.zip" in refused(suture, "invoke", "none.zip")
    write_archive(tmp_path / "other.zip", {"readme": b"hello"})
    assert "model.json" in refused(suture, "invoke", "other.zip")


def test_two_components_of_one_name(suture, net, tmp_path):
    suture("library", "add", net, "--name", "net")
    err = refused(suture, "library", "add", net, "--name", "net", "--licence", "MIT")
    assert "there already" in err
    assert "--version" in err
    suture("library", "add", net, "--name", "net", "--licence", "MIT", "--version", "2.0")
    listed = suture("library", "list", "--json").json["components"]
    assert [component["version"] for component in listed] == ["1.0.0", "2.0"]


def test_a_log_that_is_not_there(suture, digits):
    err = refused(suture, "learn", digits / "task.toml", "--log", "none.jsonl")
    assert "none.jsonl" in err


def test_an_output_folder_that_is_a_file(suture, net, tmp_path):
    (tmp_path / "out").write_text("in the way")
    assert "out" in refused(suture, "compile", net, "-o", "out")
    assert (tmp_path / "out").read_text() == "in the way"


# A shell that starts its children in the background has them ignore Ctrl-C.
INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from suture.cli import main
main()
"""


@pytest.mark.parametrize("delay_s", [1.5, 4.0, 6.0])
def test_ctrl_c_leaves_nothing_half_written(digits, cache, tmp_path, delay_s):
    command = [
        *(sys.executable, "-c", INTERRUPTIBLE, "compile"),
        *(digits / "task.toml", "-o", tmp_path / "out", "--cache", cache),
    ]
    process = subprocess.Popen(
        [*map(str, command)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if process.returncode == 0:
        pytest.skip("the compilation was done before the signal came")
    assert process.returncode == 130
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all("partial" not in name for name in left)
    for path in tmp_path.rglob("*.zip"):
        assert path.stat().st_size > 2**20

from dataclasses import replace

import numpy as np
import onnx
import pytest

from suture.codegen.archive import file_digest
from suture.codegen.invoke import invoke, read_model
from suture.codegen.request import arrays, tensor
from suture.compiler.model import load_model
from suture.compiler.task import Limits, read_task
from suture.driver.cases import read_inputs
from suture.driver.compiling import check_limits, compile_model
from suture.driver.planning import plan_task
from suture.errors import Location, ModelError, PackageError, RequestError


@pytest.fixture(scope="module")
def dynamic(tmp_path_factory):
    """A file with ``float[batch, 3] x, float[3] z`` to ``float[batch, 3] y``."""
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Add", ["x", "z"], ["s"]),
            onnx.helper.make_node("Relu", ["s"], ["y"]),
        ],
        "net",
        [
            onnx.helper.make_tensor_value_info("x", 1, ["batch", 3]),
            onnx.helper.make_tensor_value_info("z", 1, [3]),
        ],
        [onnx.helper.make_tensor_value_info("y", 1, ["batch", 3])],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("dynamic") / "My Net.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.fixture
def compile_dynamic(dynamic, records, options, target, tmp_path):
    def compile_dynamic(**more):
        arguments = {"bind": {}, "inputs": None, "options": options, **more}
        return compile_model(
            dynamic,
            [target],
            tmp_path / "out",
            records=records,
            say=lambda line: None,
            **arguments,
        )

    return compile_dynamic


@pytest.fixture(scope="session")
def target(digits):
    return read_task(digits / "task.toml").targets[0]


def test_the_program_answers_as_the_components_do(compilation):
    (built,) = compilation.built
    assert {attempt.backend for attempt in built.attempts} == {"tvm", "ort"}
    assert all(attempt.max_abs_err < 1e-4 for attempt in built.attempts)
    assert built.rewritten.worst_error < 1e-4
    assert built.written.digest == file_digest(built.written.path)


def test_every_stage_is_told(compilation, said):
    stages = [line.split(":")[0] for line in said]
    assert stages[:4] == ["library", "search", "accuracy", "latency"]
    assert stages[-1] == "package"
    assert any("digit-" in line for line in said)


def test_measurements_become_records(compilation, records):
    for backend in ("tvm", "ort"):
        found = records.latencies(backend=backend, threads=1)
        version = compilation.planned.chosen.estimate.plan.digest[:12]
        assert any(record.subject == version for record in found)
        assert all(record.work.flops > 0 and record.median_ms > 0 for record in found)


def test_many_plans_are_timed_by_promise(compilation, digits, records, monkeypatch):
    monkeypatch.setattr("suture.driver.planning.MEASURED", 8)
    planned = plan_task(
        read_task(digits / "task.toml"), records=records, say=lambda line: None
    )
    assert len(planned.weighed) == 8
    assert len(planned.search.plans) == 64
    best = max(planned.accuracies.values(), key=lambda accuracy: accuracy.overall)
    assert max(w.estimate.accuracy for w in planned.weighed) > best.overall - 0.05


def test_free_dimensions_stay_free_in_onnx_runtime(compile_dynamic):
    done = compile_dynamic()
    (built,) = done.built
    assert done.name == "my-net"
    assert built.written.backend == "ort"
    assert "dynamic shape ['batch', '3']" in built.reason


def test_bound_dimensions_make_a_plan_ahead_of_time(compile_dynamic):
    attempts = compile_dynamic(bind={"batch": (2,)}).built[0].attempts
    assert {attempt.backend for attempt in attempts if attempt.median_ms} == {"tvm", "ort"}


def test_several_sizes_make_a_program_each(compile_dynamic, options):
    (built,) = compile_dynamic(
        bind={"batch": (1, 3)}, options=replace(options, backend="tvm")
    ).built
    notes = "\n".join(built.shipped.notes)
    assert "2 programs, one for each set of sizes" in notes
    assert "batch=1: " in notes
    assert "batch=3: " in notes
    model = read_model(built.written.path)
    assert model["inputs"][0]["shape"] == [-1, 3]
    assert [each["outputs"] for each in model["programs"]] == [[[1, 3]], [[3, 3]]]
    answers = {}
    for count in (1, 3, 2):
        x = np.arange(count * 3, dtype=np.float32).reshape(count, 3) - 2
        entries = [
            tensor(spec, data, Location("test"))
            for spec, data in zip(model["inputs"], (x, np.ones(3, np.float32)), strict=True)
        ]
        answers[count] = invoke(built.written.path, {"inputs": entries}, warm=0).output
        if count != 2:
            np.testing.assert_array_equal(arrays(answers[count])["y"], np.maximum(x + 1, 0))
    assert answers[2] == {
        "error": "there is no program for x [2, 3], z [3]; "
        "this model takes x [1, 3], z [3]; x [3, 3], z [3]",
        "status": 400,
    }


def test_sizes_and_a_file_of_inputs_do_not_go_together(compile_dynamic, tmp_path):
    with pytest.raises(RequestError, match="one file cannot be of several sizes"):
        compile_dynamic(bind={"batch": (1, 3)}, inputs=tmp_path / "in.npz")


def test_too_many_sizes(compile_dynamic):
    with pytest.raises(ModelError, match="17 combinations of sizes are more than 16"):
        compile_dynamic(bind={"batch": tuple(range(1, 18))})


def test_a_convolution_of_many_images_keeps_its_schedule(records, options, target, tmp_path):
    weights = np.ones((8, 8, 3, 3), np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "w"], ["y"])],
        "conv",
        [onnx.helper.make_tensor_value_info("x", 1, ["n", 8, 5, 5])],
        [onnx.helper.make_tensor_value_info("y", 1, ["n", 8, 3, 3])],
        [onnx.numpy_helper.from_array(weights, "w")],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=8),
        tmp_path / "conv.onnx",
    )
    (built,) = compile_model(
        tmp_path / "conv.onnx",
        [target],
        tmp_path / "out",
        bind={"n": (1, 2)},
        inputs=None,
        options=replace(options, backend="tvm"),
        records=records,
        say=lambda line: None,
    ).built
    assert [note for note in built.shipped.notes if note.startswith("warning")] == []


def test_given_inputs(compile_dynamic, dynamic, tmp_path):
    x, z = np.ones((4, 3), np.float32), np.zeros(3, np.float32)
    np.savez(tmp_path / "in.npz", x=x, z=z)
    assert compile_dynamic(inputs=tmp_path / "in.npz").built
    model = load_model(dynamic)
    np.savez(tmp_path / "lacks.npz", x=x)
    with pytest.raises(RequestError, match="'z' is missing"):
        read_inputs(tmp_path / "lacks.npz", model)
    np.savez(tmp_path / "double.npz", x=x.astype(float), z=z)
    with pytest.raises(RequestError, match="float64, not float32"):
        read_inputs(tmp_path / "double.npz", model)
    (tmp_path / "text.npy").write_text("no numbers")
    with pytest.raises(RequestError, match="not readable inputs"):
        read_inputs(tmp_path / "text.npy", model)


def test_the_tasks_limit_on_packages(compile_dynamic):
    (built,) = compile_dynamic().built
    check_limits(built, Limits(package_mb=50), "task.toml")
    assert built.written.path.is_file()
    with pytest.raises(PackageError, match=r"package_mb = 0\.1 is missed") as caught:
        check_limits(built, Limits(package_mb=0.1), "task.toml")
    assert caught.value.at.node == "limits.package_mb"
    assert not built.written.path.exists()

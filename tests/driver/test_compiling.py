import numpy as np
import onnx
import pytest

from suture.codegen.archive import file_digest
from suture.compiler.model import load_model
from suture.compiler.task import Limits, read_task
from suture.driver.compiling import check_limits, compile_model, read_inputs
from suture.driver.planning import plan_task
from suture.errors import PackageError, RequestError


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
        arguments = {"bind": {}, "inputs": None, **more}
        return compile_model(
            dynamic,
            [target],
            tmp_path / "out",
            options=options,
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
    assert built.worst_pass_error < 1e-4
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
    attempts = compile_dynamic(bind={"batch": 2}).built[0].attempts
    assert {attempt.backend for attempt in attempts if attempt.median_ms} == {"tvm", "ort"}


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

import itertools

import numpy as np
import onnx
import pytest


@pytest.fixture
def products(tmp_path):
    """A file with fourteen products, each of a shape of its own."""
    helper, rng = onnx.helper, np.random.default_rng(0)
    sizes = [16 * n for n in range(1, 16)]
    weights = [
        onnx.numpy_helper.from_array(rng.standard_normal(pair).astype(np.float32), f"w{n}")
        for n, pair in enumerate(itertools.pairwise(sizes))
    ]
    nodes = [
        helper.make_node("MatMul", [f"x{n}", f"w{n}"], [f"x{n + 1}"])
        for n in range(len(weights))
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x0", 1, [4, 16])], [value("x14", 1, [4, 240])], weights
    )
    path = tmp_path / "products.onnx"
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def test_tune_then_evaluate_then_compile(suture, products, tmp_path):
    own = ("--cache", tmp_path / "cache")
    error = suture("cost", "evaluate", *own, code=2).err
    assert "suture tune" in error
    told = suture("tune", products, "--trials", "3", "--json", *own).json
    assert set(told) == {"records", "kernels", "before", "after"}
    assert told["records"] == 3 * told["kernels"] == 42
    assert 0 <= told["before"]["pairwise_accuracy"] <= 1
    assert told["after"]["top1_regret"] >= 0
    assert (tmp_path / "cache" / "cost-model.npz").is_file()
    found = suture("cost", "evaluate", "--folds", "4", "--json", *own).json
    assert set(found) >= {
        *("pairwise_accuracy", "top1_regret", "mape", "fit_seconds", "rows_per_second"),
    }
    assert "right order" in suture("cost", "evaluate", "--folds", "4", *own).out
    document = suture(
        *("compile", products, "-o", "out", "--effort", "1", "--backend", "tvm", "--json"),
        *own,
    ).json
    (attempt,) = document["backends"]
    assert {choice["by"] for choice in attempt["choices"]} == {"model"}


def test_what_is_not_there_is_refused(suture, net, digits):
    assert (
        "not there yet"
        in suture("tune", net, "--trials", "3", "--executor", "ray", code=2).err
    )
    assert "not there yet" in suture("cost", "evaluate", "--against", "xgboost", code=2).err
    assert "neither" in suture("tune", "notes.txt", "--trials", "3", code=2).err
    told = suture("tune", digits / "task.toml", "--trials", "3", "--bind", "a=1", code=2).err
    assert "binds its own" in told
    assert "trials" in suture("tune", net, "--trials", "1", code=2).err

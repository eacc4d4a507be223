"""The road of the README on the example: analyse, plan, compile, invoke, learn."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from suture.cli.options import read_sizes

PLAN_KEYS = {
    "steps",
    "accuracy",
    "latency_ms",
    "peak_bytes",
    "cold_start_ms",
    "usd_per_million",
    "pareto",
    "chosen",
}
PACKAGE_KEYS = {"path", "target", "runtime", "backend", "bytes", "unzipped_bytes", "digest"}
PHASES = {
    *("plan", "passes", "import", "choose", "lower", "codegen", "link", "check"),
    *("measure", "package"),
}
PASS_KEYS = {"name", "nodes_before", "nodes_after", "made", "declined", "seconds"}


def test_analyze(suture, digits):
    one = suture("analyze", digits / "task.toml", digits / "spoilt.png", "--json").json
    assert one["steps"] == ["denoise", "deskew"]
    assert one["features"]["noise_ratio"] > 0.12
    both = suture(
        "analyze", digits / "task.toml", digits / "clean.png", digits / "spoilt.png", "--json"
    ).json
    assert [entry["steps"] for entry in both["profiles"]] == [[], ["denoise", "deskew"]]
    told = suture("analyze", digits / "task.toml", digits / "clean.png").out
    assert "calls for: nothing" in told


def test_plan_differs_by_request(suture, digits):
    chosen = {}
    for name in ("clean", "spoilt"):
        document = suture(
            "plan", digits / "task.toml", "--input", digits / f"{name}.png", "--json"
        ).json
        assert all(set(plan) >= PLAN_KEYS for plan in document["plans"])
        (best,) = [plan for plan in document["plans"] if plan["chosen"]]
        assert best["pareto"]
        assert best["reward"] == max(plan["reward"] for plan in document["plans"])
        chosen[name] = best["name"]
    assert chosen["clean"] != chosen["spoilt"]
    assert "digit-denoise" in chosen["spoilt"]
    assert "digit-deskew" in chosen["spoilt"]


def test_plan_explains(suture, digits):
    told = suture("plan", digits / "task.toml", "--explain").out
    assert "* digit-" in told
    assert "the greatest reward within the limits" in told
    assert "as good or better in everything" in told
    short = suture("plan", digits / "task.toml", "--top", "3").out
    assert short.count("digit-") < told.count("digit-") / 4


@pytest.fixture(scope="module")
def compiled(cache, digits, tmp_path_factory):
    """The spoilt digit's package, and what the command printed as JSON."""
    out = tmp_path_factory.mktemp("out")
    command = [
        *(sys.executable, "-c", "from suture.cli import main; main()"),
        *("compile", digits / "task.toml", "--input", digits / "spoilt.png"),
        *("-o", out, "--json", "--cache", cache),
    ]
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, cwd=out
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), out


def test_compile(compiled):
    document, out = compiled
    (package,) = document["packages"]
    assert set(package) >= PACKAGE_KEYS
    assert (package["runtime"], package["runtime_reason"]) == ("native", "it holds the model")
    assert package["python"] is None
    assert Path(package["path"]).stat().st_size == package["bytes"] < package["unzipped_bytes"]
    assert all(set(each) >= PASS_KEYS for each in document["passes"])
    assert document["passes"][-1]["nodes_after"] < document["passes"][0]["nodes_before"]
    assert document["latency_ms"] > 0
    assert document["max_abs_err"] < 1e-4
    assert set(document["seconds"]) == PHASES
    assert {each["backend"] for each in document["backends"]} == {"tvm", "ort"}
    for each in document["backends"]:
        assert each["kernels"]
        assert all(kernel["microseconds"] >= 0 for kernel in each["kernels"])
    ours, theirs = document["backends"]
    assert 0 < ours["arena_bytes"] + ours["weight_bytes"] < ours["peak_rss_bytes"]
    assert theirs["arena_bytes"] is None
    assert 2**20 < ours["peak_rss_bytes"] < theirs["peak_rss_bytes"]
    assert document["reason"]
    assert json.loads((out / "report.json").read_text()) == document
    assert sorted(path.name for path in out.iterdir()) == [
        "digits-lambda-x86_64.zip",
        "report.html",
        "report.json",
        "serverless.yml",
    ]


def test_effort(suture, tmp_path):
    """Measured where asked for, and both reports say what was chosen and what lost."""
    weights = onnx.numpy_helper.from_array(np.ones((8, 64), np.float32), "w")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "wide",
        [value("x", 1, [5, 8])],
        [value("y", 1, [5, 64])],
        [weights],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    net = tmp_path / "wide.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), net)
    for effort, by in ((0, "formula"), (2, "measured"), (3, "measured")):
        out = tmp_path / str(effort)
        document = suture(
            *("compile", net, "-o", out, "--effort", effort, "--backend", "tvm", "--json")
        ).json
        (attempt,) = document["backends"]
        (choice,) = attempt["choices"]
        assert choice["by"] == by
        assert choice["kernel"] in {kernel["name"] for kernel in attempt["kernels"]}
        assert choice["schedule"] == choice["trials"][0]["schedule"]
        timed = [trial["microseconds"] is not None for trial in choice["trials"]]
        assert all(timed) if effort else not any(timed)
        assert choice["schedule"] in (out / "report.html").read_text("utf-8")
    assert "0<=x<=3" in suture("compile", net, "-o", "out", "--effort", "4", code=2).err


def test_invoke(suture, compiled, digits, tmp_path):
    document, _ = compiled
    path = document["packages"][0]["path"]
    answer = suture(
        *("invoke", path, "--input", digits / "spoilt.png", "--cold", "2", "--warm", "3"),
        *("--log", tmp_path / "log.jsonl", "--json"),
    ).json
    (output,) = answer["output"]["outputs"]
    assert int(np.argmax(output["data"])) == 0
    assert sum(output["data"]) == pytest.approx(1, rel=1e-5)
    assert (len(answer["ready_ms"]), len(answer["cold_ms"]), len(answer["warm_ms"])) == (
        2,
        2,
        3,
    )
    assert answer["max_rss_bytes"] > 2**20
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == 5
    assert {line["bucket"] for line in lines} == {"denoise+deskew"}
    told = suture("invoke", path, "--input", digits / "spoilt.png", "--cold", "1").out
    assert "the greatest at 0" in told


def test_learn(suture, compiled, digits, tmp_path):
    path = compiled[0]["packages"][0]["path"]
    log = tmp_path / "log.jsonl"
    suture("invoke", path, "--input", digits / "spoilt.png", "--cold", "1", "--log", log)
    lines = log.read_text().splitlines()
    wrong = {"request_id": json.loads(lines[0])["request_id"], "correct": False}
    log.write_text("\n".join([*lines, "START RequestId: 1", json.dumps(wrong)]) + "\n")
    cache = ("--cache", tmp_path / "cache")
    # Without the accuracy that planning records, only the checked answer can be learnt from.
    only = suture("learn", digits / "task.toml", "--log", log, *cache, "--json").json
    assert (only["episodes"], only["labelled"], only["skipped_lines"]) == (1, 1, 1)
    assert only["estimate_old"] < 0
    learned = suture(
        *("learn", digits / "task.toml", "--log", log, "--log", log),
        *("--policy", "epsilon-greedy{epsilon=0.2}", "-o", tmp_path / "policy.json", "--json"),
    ).json
    assert learned["episodes"] == learned["added"] == 21
    assert learned["policy"]["epsilon"] == 0.2
    assert learned["policy"] == json.loads((tmp_path / "policy.json").read_text())
    assert 0.5 < learned["estimate_old"] < 1
    again = suture("learn", digits / "task.toml", "--log", log, "--json").json
    assert (again["added"], again["episodes"]) == (0, 21)


@pytest.mark.node
@pytest.mark.skipif(shutil.which("npx") is None, reason="npx (Node.js) is not installed")
def test_serverless_framework_takes_the_deployment(compiled, tmp_path):
    _, out = compiled
    for name in ("serverless.yml", "digits-lambda-x86_64.zip"):
        shutil.copyfile(out / name, tmp_path / name)
    done = subprocess.run(
        ["npx", "--yes", "osls@4.3.1", "package"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    state = json.loads((tmp_path / ".serverless" / "serverless-state.json").read_text())
    resources = state["service"]["provider"]["compiledCloudFormationTemplate"]["Resources"]
    (function,) = [r for r in resources.values() if r["Type"] == "AWS::Lambda::Function"]
    properties = function["Properties"]
    assert (properties["Runtime"], properties["Handler"]) == ("provided.al2023", "bootstrap")
    assert properties["MemorySize"] == 1769
    assert properties["Architectures"] == ["x86_64"]


def test_runtimes(suture, net, tmp_path):
    """What is asked for ships; the reports say which and why."""
    answers = {}
    for runtime in ("native", "python"):
        out = tmp_path / runtime
        document = suture(
            *("compile", net, "-o", out, "--backend", "tvm", "--runtime", runtime, "--json")
        ).json
        (package,) = document["packages"]
        assert (package["runtime"], package["runtime_reason"]) == (runtime, "as asked for")
        assert f"{runtime}: as asked for" in (out / "report.html").read_text("utf-8")
        answer = suture("invoke", package["path"], "--cold", "1", "--warm", "1", "--json").json
        answers[runtime] = answer["output"]["outputs"][0]["data"]
    assert answers["native"] == pytest.approx(answers["python"], rel=1e-6)


def test_images_need_their_decoder(suture, digits, monkeypatch, tmp_path):
    """Without it, Python ships and the reason is told, or native is refused at once."""
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    task = (digits / "task.toml", "-o", "out", "--backend", "tvm")
    err = suture("compile", *task, "--runtime", "native", code=2).err
    assert "no native package can be made" in err
    assert "pip download" in err
    assert not (tmp_path / "out").exists()
    (package,) = suture("compile", *task, "--json").json["packages"]
    assert package["runtime"] == "python"
    assert "decoder of JPEG and PNG" in package["runtime_reason"]
    assert package["python"] is not None


@pytest.mark.emulator
def test_a_package_for_arm64(suture, net, tmp_path, arm64):
    done = suture("compile", net, "-o", "out", "--target", "lambda-arm64", "--json").json
    (package,) = done["packages"]
    assert (package["target"], package["backend"]) == ("lambda-arm64", "tvm")
    assert done["latency_ms"] is None
    assert done["max_abs_err"] < 1e-5
    assert "architecture: arm64" in (tmp_path / "out" / "serverless.yml").read_text("utf-8")
    assert "not timed" in (tmp_path / "out" / "report.html").read_text("utf-8")
    told = suture("invoke", package["path"], "--cold", "1", "--warm", "1").out
    assert "y  float32[1, 2]" in told
    assert "under   qemu-aarch64" in told


@pytest.mark.emulator
def test_what_is_not_timed_is_told(suture, net, arm64):
    told = suture("compile", net, "-o", "out", "--target", "lambda-arm64").out
    assert "unmeasured: this machine cannot time programs for aarch64" in told
    assert "not timed, largest difference" in told


def test_sizes_are_read():
    assert read_sizes(("batch=1,8,1", "length=32")) == {"batch": (1, 8), "length": (32,)}

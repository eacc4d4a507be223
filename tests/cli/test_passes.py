"""The passes of ``suture compile``: explained, dumped, kept where they fail, bisected."""

import json

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx.reference import ReferenceEvaluator

PLUG_IN = '''
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from suture.passes.base import GraphPass, PassResult, note


@dataclass(frozen=True)
class Wrong(GraphPass):
    """Makes of every Relu an Elu."""

    name: ClassVar[str] = "wrong"

    def apply(self, model, ctx):
        made = [note(node, "made an Elu") for node in model.graph if node.op_type == "Relu"]
        for node in model.graph:
            node.op_type = "Elu" if node.op_type == "Relu" else node.op_type
        return PassResult(model, made=tuple(made))


@dataclass(frozen=True)
class Scaled(GraphPass):
    """Ends with an operator that leaves the answer as it is, and that TVM lacks."""

    name: ClassVar[str] = "scaled"

    def apply(self, model, ctx):
        out = model.graph.outputs[0]
        scaler = ir.node(
            "Scaler", [out], {"offset": [0.0], "scale": [1.0]}, domain="ai.onnx.ml", name="s"
        )
        model.graph.append(scaler)
        model.opset_imports["ai.onnx.ml"] = 3
        result = scaler.outputs[0]
        result.type, result.shape, result.name = out.type, out.shape, out.name
        out.name = "unscaled"
        model.graph.outputs[0] = result
        return PassResult(model, made=(note(scaler, "scaled by one"),))


@dataclass(frozen=True)
class Halve(GraphPass):
    """Halves weights, which is within some budget of accuracy."""

    name: ClassVar[str] = "halve"
    exact: ClassVar[bool] = False

    def apply(self, model, ctx):
        for name, value in model.graph.initializers.items():
            value.const_value = ir.tensor(value.const_value.numpy() / 2, name=name)
        return PassResult(model, made=(note(model.graph[0], "halved"),))
'''
POINTS = (
    "[suture.passes]\nwrong = trouble:Wrong\nscaled = trouble:Scaled\nhalve = trouble:Halve\n"
)


@pytest.fixture
def trouble(tmp_path, monkeypatch):
    """Passes that make trouble, installed for one test as a distribution."""
    folder = tmp_path / "site"
    info = folder / "trouble-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "trouble.py").write_text(PLUG_IN, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(folder)


def test_explain_says_what_was_made_and_declined_with_reasons(suture, tmp_path):
    nodes = [
        onnx.helper.make_node("Identity", ["x"], ["a"], name="first"),
        onnx.helper.make_node("BatchNormalization", ["a", *["w"] * 4], ["b"], name="bn"),
        onnx.helper.make_node("Identity", ["b"], ["y"], name="last"),
    ]
    value = onnx.helper.make_tensor_value_info
    weights = [onnx.numpy_helper.from_array(np.ones(3, np.float32), "w")]
    graph = onnx.helper.make_graph(
        nodes, "net", [value("x", 1, [1, 3])], [value("y", 1, [1, 3])], weights
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), "bn.onnx")
    out = suture("compile", "bn.onnx", "-o", "out", "--explain", "--backend", "ort").out
    assert "pass     remove-identities: 3 nodes to 1, " in out
    assert "; -2 Identity\n" in out
    assert "  made     2: passes its input on (net/first, net/last)\n" in out
    assert "  declined 1: no Conv, ConvTranspose or Gemm stands before it (net/bn)\n" in out
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    removed = next(p for p in report["passes"] if p["name"] == "remove-identities")
    assert removed["operators"] == {"Identity": -2}


def test_the_model_is_dumped_as_each_pass_leaves_it(suture, net, tmp_path):
    arguments = ("--passes", "fold-*", "--dump", "dump", "--backend", "ort", "--no-verify")
    document = suture("compile", net, "-o", "out", *arguments, "--json").json
    assert document["worst_pass_error"] is None
    assert [path.name for path in sorted((tmp_path / "dump").iterdir())] == [
        "00-input.onnx",
        "01-fold-constants.onnx",
        "02-fold-affine.onnx",
        "03-fold-normalization.onnx",
        "04-fold-batch-norm.onnx",
        "05-fold-channel-order.onnx",
        "06-fold-pads.onnx",
    ]
    assert "as asked for" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.usefixtures("trouble")
def test_a_wrong_pass_is_named_and_the_model_before_it_kept(suture, net, tmp_path):
    np.save("x.npy", np.float32([[-1, -2, -3]]))
    passes = ("--passes", "exact,wrong", "--input", "x.npy")
    done = suture("compile", net, "-o", "out", *passes, code=2)
    assert "where: wrong/clip/y\n" in done.err
    assert "the pass changes the answer" in done.err
    kept = tmp_path / "out" / "failed"
    assert f"suture compile {kept.relative_to(tmp_path)}/before.onnx" in done.err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["failed"]
    again = ("--passes", "wrong", "--input", kept / "inputs.npz", "--bisect", "--json")
    found = suture("compile", kept / "before.onnx", "-o", "again", *again, code=1).json
    assert found["culprit"]["pass"] == "wrong"
    assert found["culprit"]["position"] == 0


@pytest.mark.usefixtures("trouble")
def test_bisect_finds_the_pass_after_which_a_backend_fails(suture, net, tmp_path):
    passes = ("--passes", "remove-identities,fold-constants,scaled,prune-dead-nodes")
    done = suture("compile", net, "-o", "out", *passes, "--bisect", code=1)
    assert "culprit  scaled, pass 3 (4 passes, 4 checks)\n" in done.out
    assert "why      net/s: operator 'Scaler' cannot be compiled by TVM" in done.out
    assert sorted(path.name for path in (tmp_path / "out" / "failed").iterdir()) == [
        "before.onnx",
        "failure.json",
        "inputs.npz",
    ]
    only_ort = suture("compile", net, "-o", "out", *passes, "--bisect", "--backend", "ort")
    assert only_ort.out == "sound    no pass breaks the model for ort (4 passes, 2 checks)\n"


@pytest.mark.usefixtures("trouble")
def test_a_pass_within_a_budget_ships_what_it_makes(suture, net):
    passes = ("--passes", "halve", "--backend", "ort", "--json")
    document = suture("compile", net, "-o", "out", *passes).json
    assert document["passes"][0]["made"] == ["net/mix: halved"]
    assert document["max_abs_err"] < 1e-6


def test_bisect_of_a_task_that_is_sound(suture, digits):
    arguments = ("--input", digits / "spoilt.png", "--bisect", "--backend", "ort", "--json")
    found = suture("compile", digits / "task.toml", "-o", "out", *arguments).json
    assert found["culprit"] is None
    assert found["checks"] == 2
    assert found["backends"] == ["ort"]


@pytest.mark.parametrize(
    ("passes", "told"),
    [
        ("fold-batch-norm,fold-constants", "put fold-constants first"),
        ("turn-*", "no pass 'turn-*' is installed"),
        ("none.toml", "no such file"),
    ],
)
def test_a_pipeline_that_cannot_be_is_told(suture, net, tmp_path, passes, told):
    assert told in suture("compile", net, "-o", "out", "--passes", passes, code=2).err
    assert not (tmp_path / "out").exists()


def test_a_program_of_the_outputs_and_classes_that_are_wanted(suture, tmp_path):
    """Both backends answer what is left, checked against ONNX Runtime on the whole model."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        g (float[1,4] x) => (float[1,6] logits, float[1,8] hidden) {
            h = MatMul(x, w) hidden = Relu(h) logits = MatMul(hidden, v) }"""
    )
    rng = np.random.default_rng(2)
    weights = {"w": rng.standard_normal((4, 8)), "v": rng.standard_normal((8, 6))}
    model.graph.initializer.extend(
        onnx.numpy_helper.from_array(array.astype(np.float32), name)
        for name, array in weights.items()
    )
    onnx.save(model, tmp_path / "two.onnx")
    x = rng.standard_normal((1, 4)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    passes = "prune-outputs{keep=logits},exact,prune-classes{keep=1+4}"
    dump = ("--dump", "steps", "--input", "x.npy", "--json")
    document = suture("compile", "two.onnx", "-o", "out", "--passes", passes, *dump).json
    assert document["max_abs_err"] < 1e-5
    assert {each["backend"] for each in document["backends"]} == {"ort", "tvm"}
    assert document["passes"][0]["made"] == ["g/hidden: nobody asked for it"]
    assert document["passes"][-1]["made"] == ["g/logits: 2 of 6 classes are left"]
    last = onnx.load(max((tmp_path / "steps").glob("*.onnx")))
    (answer,) = ReferenceEvaluator(last).run(None, {"x": x})
    want = np.maximum(x @ weights["w"], 0) @ weights["v"]
    np.testing.assert_allclose(answer, want[:, [1, 4]], rtol=1e-5)

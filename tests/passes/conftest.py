from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from suture.compiler.link import link
from suture.compiler.model import model_bytes
from suture.compiler.plan.evaluate import read_evaluation
from suture.compiler.plan.search import search
from suture.compiler.task import read_task
from suture.compiler.verify import assert_equivalent, seeded_inputs
from suture.driver.planning import open_library
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

RTOL = 1e-5


@pytest.fixture(scope="session")
def classifier(digits):
    """The small classifier after the exact passes, and the clean and pale digits."""
    task = read_task(digits / "task.toml")
    data = read_evaluation(task.evaluation, task.input.kind)
    components = {each.ref: each for each in open_library(task.library)}
    entry = task.input.bound(data.inputs.shape[1:])
    plans = search(replace(task, input=entry), tuple(components.values())).plans
    plan = next(plan for plan in plans if plan.name == "digit-cnn-small")
    model = link(plan, components, entry)
    PassManager(parse_pipeline("exact")).run(model)
    easy = np.flatnonzero(np.isin(data.conditions, ["clean", "pale"]))
    return model, data.for_model(entry.shape).of(easy)


@pytest.fixture(scope="session")
def parse():
    """A model from onnx's textual syntax; ``weights`` by name, as a shape or as numbers.

    Shapes are filled from a seed, those called ``var*`` or ``std*`` with positive numbers.
    """

    def parse(text, opset=18, **weights):
        proto = onnx.parser.parse_model(
            f'<ir_version: 10, opset_import: ["": {opset}]> {text}'
        )
        rng = np.random.default_rng(11)
        for name, given in weights.items():
            array = given
            if isinstance(given, tuple):
                positive = name.startswith(("var", "std"))
                array = rng.uniform(0.5, 2, given) if positive else rng.normal(0, 1, given)
                array = array.astype(np.float32)
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))

    return parse


@pytest.fixture(scope="session")
def check():
    """Run a pass: the answer must stay, and a second run must leave the model as it is."""

    def check(graph_pass, model, seed=0):
        reference = model.clone()
        inputs = seeded_inputs(reference, np.random.default_rng(seed))
        (record,) = PassManager([graph_pass]).run(model)
        assert_equivalent(reference, model, inputs, rtol=RTOL)
        once = model_bytes(model)
        (again,) = PassManager([graph_pass]).run(model)
        assert again.made == ()
        assert again.declined == record.declined
        assert model_bytes(model) == once
        return SimpleNamespace(
            made=[(note.at.node or note.at.value, note.reason) for note in record.made],
            declined=[
                (note.at.node or note.at.value, note.reason) for note in record.declined
            ],
            ops=[node.op_type for node in model.graph],
        )

    return check

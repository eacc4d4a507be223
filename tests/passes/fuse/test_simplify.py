from importlib.metadata import entry_points

from suture.passes.fuse.simplify import Simplify
from suture.passes.pipeline import parse_pipeline


def test_it_rewrites(parse, check):
    model = parse(
        """g (float[2,3] x) => (float[2,3] y)
        { [s] s = Shape(x) [r] r = Reshape(x, s) [y] y = Relu(r) }"""
    )
    done = check(Simplify(), model)
    assert done.ops == ["Relu"]
    assert {node for node, _ in done.made} >= {"s", "r"}
    assert {reason for _, reason in done.made} == {"onnxsim took it away or changed it"}


def test_it_leaves_a_simple_model_alone(parse, check):
    model = parse("g (float[2,3] x) => (float[2,3] y) { [y] y = Relu(x) }")
    graph = model.graph
    assert check(Simplify(), model).made == []
    assert model.graph is graph


def test_it_stands_in_a_pipeline():
    assert parse_pipeline("simplify,prune-dead-nodes")[0] == Simplify()
    (point,) = [p for p in entry_points(group="suture.passes") if p.name == "simplify"]
    assert point.load() is Simplify

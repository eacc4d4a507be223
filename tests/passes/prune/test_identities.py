import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import run_reference
from suture.errors import VerifyError
from suture.passes.base import PassContext
from suture.passes.pipeline import parse_pipeline
from suture.passes.prune import identities
from suture.passes.prune.identities import RemoveIdentities

ON = "passes its input on"
STAYS = "shape and type stay as they are"


def between(node, shape="1,1,4,4"):
    nodes = f"t = Exp(x) [n] u = {node} y = Neg(u)"
    return f"g (float[{shape}] x) => (float[{shape}] y) {{ {nodes} }}"


@pytest.mark.parametrize("node", ["Identity(t)", "Dropout(t)", "Dropout(t, ratio)"])
def test_removes_what_passes_its_input_on(parse, check, node):
    ratio = np.array(0.5, np.float32)
    done = check(RemoveIdentities(), parse(between(node), ratio=ratio))
    assert done.ops == ["Exp", "Neg"]
    assert done.made == [("n", ON)]


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ("Cast<to=1>(t)", "1,1,4,4"),
        ("Cast<to=1>(t)", "N,4"),
        ("Reshape(t, same)", "1,1,4,4"),
        ("Expand(t, same)", "1,1,4,4"),
        ("Flatten(t)", "3,4"),
        ('Resize<mode="linear">(t, , , same)', "1,1,4,4"),
        (
            'Resize<mode="cubic", coordinate_transformation_mode="align_corners">(t, , ones)',
            "1,1,4,4",
        ),
    ],
)
def test_removes_what_keeps_shape_and_type(parse, check, node, shape):
    same, ones = np.array([1, 1, 4, 4]), np.ones(4, np.float32)
    done = check(RemoveIdentities(), parse(between(node, shape), same=same, ones=ones))
    assert done.ops == ["Exp", "Neg"]
    assert done.made == [("n", STAYS)]


@pytest.mark.parametrize(
    ("node", "output"),
    [
        ("Cast<to=11>(x)", "double[1,1,4,4] y"),
        ("Reshape(x, four)", "float[4,4] y"),
        ("Flatten(x)", "float[1,16] y"),
        ("Squeeze(x)", "float[4,4] y"),
        ("Resize(x, , double)", "float[1,1,8,8] y"),
    ],
)
def test_leaves_what_changes_shape_or_type(parse, check, node, output):
    text = f"g (float[1,1,4,4] x) => ({output}) {{ [n] u = {node} y = Neg(u) }}"
    model = parse(text, four=np.array([4, 4]), double=np.float32([1, 1, 2, 2]))
    done = check(RemoveIdentities(), model)
    assert done.ops == [node.partition("(")[0].partition("<")[0], "Neg"]
    assert (done.made, done.declined) == ([], [])


def test_leaves_a_reshape_of_free_dimensions(parse, check):
    text = "g (float[N,M] x) => (float[N,M] y) { u = Reshape(x, keep) y = Neg(u) }"
    done = check(RemoveIdentities(), parse(text, keep=np.array([0, 0])))
    assert done.ops == ["Reshape", "Neg"]


def test_leaves_a_resize_that_crops(parse, check):
    """The region decides here what is sampled, whatever the shape says."""
    node = (
        'Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize">'
        "(t, roi, , same)"
    )
    roi = np.float32([0, 0, 0.2, 0.2, 1, 1, 0.8, 0.8])
    model = parse(between(node), roi=roi, same=np.array([1, 1, 4, 4]))
    assert check(RemoveIdentities(), model).ops == ["Exp", "Resize", "Neg"]


def test_leaves_a_resize_by_a_factor_that_happens_to_keep_the_size(parse, check):
    """floor(4 * 1.1) is 4, yet every pixel is sampled elsewhere (ONNX Resize, ``scales``)."""
    model = parse(between('Resize<mode="linear">(t, , s)'), s=np.float32([1, 1, 1.1, 1.1]))
    assert check(RemoveIdentities(), model).ops == ["Exp", "Resize", "Neg"]


def test_leaves_a_resize_by_a_factor_that_a_caller_gives(parse):
    text = between("Resize(t, , s)").replace(" x)", " x, float[4] s)", 1)
    model = parse(text.replace("[1,1,4,4] y", "[A,B,C,D] y"))
    model.graph[1].outputs[0].shape = model.graph.inputs[0].shape
    assert RemoveIdentities().apply(model, PassContext()).made == ()


def test_removes_a_resize_of_opset_10(parse, check):
    """Its second input are the scales; later there stands the region of a crop."""
    for factor, ops in [(1, ["Exp", "Neg"]), (1.1, ["Exp", "Resize", "Neg"])]:
        scales = np.float32([1, 1, factor, factor])
        model = parse(between("Resize(t, s)"), opset=10, s=scales)
        assert check(RemoveIdentities(), model).ops == ops


def test_leaves_a_dropout_that_trains(parse):
    node = "Dropout(t, ratio, training)"
    ratio, training = np.array(0.5, np.float32), np.array(True)
    model = parse(between(node), ratio=ratio, training=training)
    assert RemoveIdentities().apply(model, PassContext()).made == ()


def test_declines_a_dropout_whose_mask_is_read(parse, check):
    text = (
        "g (float[4] x) => (float[4] y, bool[4] z)"
        " { [n] u, mask = Dropout(x) y = Neg(u) z = Not(mask) }"
    )
    done = check(RemoveIdentities(), parse(text))
    assert done.declined == [("n", "a second output is read")]
    assert done.ops == ["Dropout", "Neg", "Not"]


@pytest.mark.parametrize(
    ("nodes", "outputs", "ops"),
    [
        ("[n] y = Identity(x)", "float[4] y", ["Identity"]),
        ("[n] y = Identity(k)", "float[4] y", ["Identity"]),
        ("t = Exp(x) [n] y = Identity(t)", "float[4] t, float[4] y", ["Exp", "Identity"]),
    ],
    ids=["an input", "an initializer", "another output"],
)
def test_declines_where_two_names_are_wanted(parse, check, nodes, outputs, ops):
    done = check(
        RemoveIdentities(), parse(f"g (float[4] x) => ({outputs}) {{ {nodes} }}", k=(4,))
    )
    assert done.declined == [("n", "it names a graph output")]
    assert done.ops == ops


def test_an_output_keeps_its_name_and_other_readers_their_value(parse, check):
    model = parse(
        "g (float[4] x) => (float[4] y, float[4] z)"
        " { t = Exp(x) [n] y = Identity(t) z = Neg(t) }"
    )
    done = check(RemoveIdentities(), model)
    assert done.ops == ["Exp", "Neg"]
    assert [value.name for value in model.graph.outputs] == ["y", "z"]


def test_an_output_keeps_its_declared_type():
    text = "g (float[1,4] x) => (float[1,4] y) { t = Exp(x) y = Identity(t) }"
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 18]> {text}')
    model = ir.from_proto(proto)  # no shapes inferred
    RemoveIdentities().apply(model, PassContext())
    (output,) = model.graph.outputs
    assert (output.dtype, output.shape) == (ir.DataType.FLOAT, ir.Shape([1, 4]))
    onnx.checker.check_model(ir.to_proto(model))


def test_a_chain_goes_at_once(parse, check):
    text = "g (float[4] x) => (float[4] y) { a = Identity(x) b = Dropout(a) y = Neg(b) }"
    assert check(RemoveIdentities(), parse(text)).ops == ["Neg"]


@pytest.mark.parametrize("taken", [True, False])
def test_readers_inside_subgraphs_are_rewired(parse, taken):
    model = parse(
        "g (float[4] x, bool[1] c) => (float[4] y) { r = Exp(x) t = Identity(r) y = If(c)<"
        "then_branch = a () => (float[4] p) { p = Neg(t) },"
        " else_branch = b () => (float[4] q) { q = Sqrt(t) }> }"
    )
    inputs = {"x": np.float32([1, -2, 3, 0]), "c": np.array([taken])}
    want = run_reference(model, inputs)["y"]
    result = RemoveIdentities().apply(model, PassContext())
    assert len(result.made) == 1
    np.testing.assert_array_equal(run_reference(model, inputs)["y"], want)


def test_an_operator_of_another_domain_is_not_ours(parse):
    model = parse(between("Relu(t)"))
    node = model.graph[1]
    node.op_type, node.domain = "Identity", "com.example"
    assert RemoveIdentities().apply(model, PassContext()).made == ()


def test_the_check_fails_a_pass_that_removes_too_much(parse, check, monkeypatch):
    monkeypatch.setattr(identities, "PASSES_ON", frozenset({"Relu"}))
    text = "g (float[1,8] x) => (float[1,8] y) { t = Relu(x) y = Neg(t) }"
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        check(RemoveIdentities(), parse(text))


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["remove-identities"]) is RemoveIdentities
    assert parse_pipeline("remove-identities") == (RemoveIdentities(),)

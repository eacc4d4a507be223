import numpy as np
import onnx
import onnx_ir as ir
import pytest

from suture.codegen.backend.base import Program, Slot
from suture.codegen.backend.ort import OrtBackend
from suture.codegen.backend.tvm import grouping, operators, stock
from suture.codegen.lower import lower
from suture.errors import BackendError, RequestError

MODELS = {
    "several inputs and outputs, one input unused": """
        g (float[2,3] a, float[4] unused, float[2,3] b) => (float[2,3] s, float[2,3] q)
        { s = Add(a, b) q = Mul(a, b) }""",
    "an input returned as an output": """
        g (float[2,3] a) => (float[2,3] same, float[2,3] r)
        { same = Identity(a) r = Relu(a) }""",
    "nothing but an input returned": """
        g (int32[3] a) => (int32[3] same) { same = Identity(a) }""",
    "a constant returned as an output": """
        g (float[2] a) => (float[3] k, float[2] r)
        <float[3] w = {1.5, 2.5, -3}>
        { k = Identity(w) r = Relu(a) }""",
    "one value returned twice, and reshaped": """
        g (float[2,6] a) => (float[2,6] r, float[2,6] again, float[12] flat)
        <int64[1] shape = {12}>
        { r = Relu(a) again = Identity(r) flat = Reshape(r, shape) }""",
    "a reshaped input": """
        g (float[2,6] a) => (float[3,4] shaped, float[3,4] r)
        <int64[2] shape = {3, 4}>
        { shaped = Reshape(a, shape) r = Exp(shaped) }""",
    "scalars": """
        g (float x, float[4] y) => (float z, float[4] u, int64 i)
        { z = Mul(x, x) u = Mul(y, z) i = ArgMax<axis = 0, keepdims = 0>(y) }""",
    "split and slice": """
        g (float[4,6] x) => (float[4,3] a, float[4,3] b, float[2,6] rows)
        <int64[1] from = {1}, int64[1] to = {3}, int64[1] axis = {0}>
        { a, b = Split<axis = 1>(x) rows = Slice(x, from, to, axis) }""",
    "shapes computed from shapes": """
        g (float[2,3,4] x) => (float[4,6] y)
        <int64[1] last = {2}, int64[1] rest = {-1}, int64 zero = {0}>
        {
            shape = Shape(x)
            size = Gather(shape, last)
            target = Concat<axis = 0>(size, rest)
            y = Reshape(x, target)
        }""",
    "constants as nodes": """
        g (float[2,3] x) => (float[3,2] y)
        { shape = Constant<value_ints = [3, 2]>() y = Reshape(x, shape) }""",
    "a local sum and a clip": """
        g (float[5] x, float[5] y) => (float[5] z)
        <float low = {-1}, float high = {2}>
        { s = Sum(x, y, x) z = Clip(s, low, high) }""",
    "bool and int64": """
        g (float[5] x, float[5] y) => (bool[5] less, int64[5] whole, bool[5] no)
        { less = Less(x, y) whole = Cast<to = 7>(x) no = Not(less) }""",
    "bool as input": """
        g (bool[4] c, float[4] x, float[4] y) => (float[4] z) { z = Where(c, x, y) }""",
    "matmul and softmax": """
        g (float[3,16] x, float[16,24] w) => (float[3,24] y)
        { m = MatMul(x, w) y = Softmax(m) }""",
    "no input": """
        g () => (float[2] y) <float[2] w = {1, 2}> { y = Relu(w) }""",
}
ARITHMETIC = "g ({0}[2,5] x, {0}[2,5] y) => ({0}[2,5] z) {{ s = Add(x, y) z = Mul(s, x) }}"


def compare(model, inputs, *, tvm_backend, target, tmp_path, rtol=1e-5):
    ort = OrtBackend()
    expected = ort.load(ort.compile(model, target, tmp_path / "ort"), model, threads=1)(inputs)
    compiled = tvm_backend.compile(model, target, tmp_path / "tvm")
    run = tvm_backend.load(compiled, model, threads=1)
    for _ in range(2):  # the second run finds buffers that the first one wrote to
        got = run(inputs)
        assert list(got) == [value.name for value in model.graph.outputs]
        for name, array in expected.items():
            assert got[name].dtype == array.dtype
            assert got[name].shape == array.shape
            np.testing.assert_allclose(got[name], array, rtol=rtol, atol=1e-6)
    return compiled


@pytest.mark.parametrize("name", MODELS)
def test_computes_what_onnx_runtime_computes(
    name, parse, random_inputs, tvm_backend, target, tmp_path
):
    model = parse(MODELS[name])
    compare(
        model, random_inputs(model), tvm_backend=tvm_backend, target=target, tmp_path=tmp_path
    )


@pytest.mark.parametrize("dtype", ["float16", "double", "int32", "int64"])
def test_element_types(dtype, parse, random_inputs, tvm_backend, target, tmp_path):
    model = parse(ARITHMETIC.format(dtype))
    rtol = 1e-3 if dtype == "float16" else 1e-5  # 1e-3 is one unit in float16's last place
    compare(
        model,
        random_inputs(model),
        tvm_backend=tvm_backend,
        target=target,
        tmp_path=tmp_path,
        rtol=rtol,
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16"])
def test_narrow_integers_are_cast(dtype, parse, tvm_backend, target, tmp_path):
    code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    text = "g (%s[6] x) => (%s[6] y, float[6] f) { f = Cast<to = 1>(x) y = Cast<to = %d>(f) }"
    model = parse(text % (dtype, dtype, code))
    inputs = {"x": np.array([0, 1, 2, 100, 127, 5], dtype)}
    compare(model, inputs, tvm_backend=tvm_backend, target=target, tmp_path=tmp_path)


def test_convolutional_network(conv_model, random_inputs, tvm_backend, target, tmp_path):
    compiled = compare(
        conv_model,
        random_inputs(conv_model),
        tvm_backend=tvm_backend,
        target=target,
        tmp_path=tmp_path,
    )
    assert compiled.backend == "tvm"
    assert list(compiled.files) == ["libmodel.so"]
    # Filters, bias, 10 columns padded to 16 and their bias, each at a multiple of 64 bytes.
    packed = 4 * (72 + 8 + 288 * 16 + 10)
    assert packed <= compiled.weight_bytes < packed + 5 * 64
    rules = {kernel.op.partition("{")[0] for kernel in compiled.kernels}
    assert {"direct-conv", "gemm"} <= rules


def test_inputs_are_not_written_to(conv_model, random_inputs, tvm_backend, target, tmp_path):
    compiled = tvm_backend.compile(conv_model, target, tmp_path)
    inputs = random_inputs(conv_model)
    before = inputs["x"].copy()
    first = tvm_backend.load(compiled, conv_model, threads=1)(inputs)
    np.testing.assert_array_equal(inputs["x"], before)
    kept = first["logits"].copy()
    tvm_backend.load(compiled, conv_model, threads=1)({"x": before + 1})
    np.testing.assert_array_equal(first["logits"], kept)


def test_external_data_is_read(conv_model, random_inputs, tvm_backend, target, tmp_path):
    ir.save(
        conv_model.clone(),
        tmp_path / "m.onnx",
        external_data="m.data",
        size_threshold_bytes=0,
    )
    model = ir.load(tmp_path / "m.onnx")
    assert any(isinstance(v.const_value, ir.ExternalTensor) for v in _initializers(model))
    compare(
        model, random_inputs(model), tvm_backend=tvm_backend, target=target, tmp_path=tmp_path
    )
    assert any(isinstance(v.const_value, ir.ExternalTensor) for v in _initializers(model))


def _initializers(model):
    return model.graph.initializers.values()


def test_wrong_inputs_are_refused(conv_model, tvm_backend, target, tmp_path):
    compiled = tvm_backend.compile(conv_model, target, tmp_path)
    run = tvm_backend.load(compiled, conv_model, threads=1)
    with pytest.raises(RequestError, match="no such input") as caught:
        run({})
    assert caught.value.at.component == "x"
    with pytest.raises(RequestError, match=r"float64\[1, 1, 12, 12\] is not float32"):
        run({"x": np.zeros((1, 1, 12, 12))})
    with pytest.raises(RequestError, match=r"float32\[12, 12\]"):
        run({"x": np.zeros((12, 12), np.float32)})


def test_dynamic_shape_is_refused(parse, tvm_backend, target, tmp_path):
    model = parse("g (float[N,6] x) => (float[N,6] y) { y = Relu(x) }")
    with pytest.raises(BackendError, match=r"dynamic shape \['N', '6'\] of input x") as caught:
        tvm_backend.compile(model, target, tmp_path)
    assert "fix N" in caught.value.hint


def test_operator_the_importer_lacks(parse, tvm_backend, target, tmp_path):
    model = parse("g (float[2,2] x) => (float y) { r = Relu(x) [volume] y = Det(r) }")
    with pytest.raises(BackendError, match=r"operator 'Det'.*importer lacks it") as caught:
        tvm_backend.compile(model, target, tmp_path)
    assert caught.value.at.node == "volume"


def test_unknown_domain(parse, tvm_backend, target, tmp_path):
    model = parse("g (float[2] x) => (float[2] y) { y = my.domain.Relu(x) }")
    with pytest.raises(BackendError, match=r"operator 'Relu'.*domain 'my\.domain'") as caught:
        tvm_backend.compile(model, target, tmp_path)
    assert caught.value.at.node == "y"


def test_loop(parse, tvm_backend, target, tmp_path):
    model = parse("""
        g (int64 n, bool c, float[2] x) => (float[2] y) {
            [again] y = Loop (n, c, x) <
                body = b (int64 i, bool go, float[2] p) => (bool on, float[2] q) {
                    on = Identity(go)
                    q = Neg(p)
                }>
        }""")
    with pytest.raises(BackendError, match=r"operator 'Loop'.*loops cannot") as caught:
        tvm_backend.compile(model, target, tmp_path)
    assert caught.value.at.node == "again"


def test_importer_failure_names_the_node(parse, tvm_backend, target, tmp_path, capsys):
    model = parse("""
        g (float[1,1,4,4] x) => (float[1,1,8,8] y)
        <float[4] scales = {1, 1, 2, 2}, float[8] roi = {0, 0, 0, 0, 1, 1, 1, 1}>
        {
            r = Relu(x)
            [grow] y = Resize<mode = "cubic",
                coordinate_transformation_mode = "tf_crop_and_resize">(r, roi, scales)
        }""")
    try:
        tvm_backend.compile(model, target, tmp_path)
    except BackendError as error:
        assert "'Resize'" in str(error)  # noqa: PT017
        assert error.at.node == "grow"  # noqa: PT017
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "op"),
    [
        (
            """g (float[2,6] x) => (float[2,2] v, int64[2,2] i) <int64[1] k = {2}>
            { r = Relu(x) [best] v, i = TopK(r, k) }""",
            "TopK",
        ),
        ("g (float[6] x) => (int64[1,N] i) { r = Relu(x) [best] i = NonZero(r) }", "NonZero"),
    ],
)
def test_failure_after_import_names_the_node(text, op, parse, tvm_backend, target, tmp_path):
    with pytest.raises(BackendError, match=f"operator '{op}'") as caught:
        tvm_backend.compile(parse(text), target, tmp_path)
    assert caught.value.at.node == "best"
    assert "ort" in caught.value.hint


def test_a_library_for_another_processor_does_not_load(conv_model, tvm_backend, tmp_path):
    library = tmp_path / "libmodel.so"
    library.write_bytes(b"\x7fELF")
    from suture.codegen.native import NativeProgram

    with pytest.raises(BackendError, match="cannot be loaded"):
        NativeProgram(library, (), ())


def test_operators():
    assert operators("fused_conv2d12_add3_relu") == "conv2d add relu"


def test_a_note_tells_which_operators_share_a_kernel(
    conv_model, tvm_backend, target, tmp_path
):
    notes = tvm_backend.compile(conv_model, target, tmp_path).notes
    assert "fusion groups: 1 × Conv Relu" in "\n".join(notes)
    told = ("fusion groups: 2 × Conv, 1 × Conv Relu",)
    assert grouping(("Conv", "Conv Relu", "Conv")) == told
    assert grouping(()) == ()


def test_sizes_for_which_there_are_fewer_schedules_are_warned_of(parse, target):
    text = "g (float[4,9] x) => (float[a,b] y) {{ y = ReduceMean<axes=[{}]>(x) }}"
    rows, columns = (lower(parse(text.format(axis)), target) for axis in (1, 0))
    programs = [Program((Slot("x", (size, 9), "float32"),), ()) for size in (4, 8)]
    assert stock([rows, rows], programs) == ()
    (warning,) = stock([rows, columns], programs)
    assert "x [8, 9] 0 kernels have a schedule of their own" in warning
    assert "for the first sizes 1;" in warning

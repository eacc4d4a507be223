import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.adapters import parse_adapter
from suture.compiler.adapters.base import axis_size, constant, element_type, with_axes
from suture.compiler.adapters.cast import Cast


def test_a_build_is_a_model_of_its_own(port):
    model = Cast("float32").build(port("h", 4, dtype="uint8"))
    assert [value.name for value in model.graph.inputs] == ["input"]
    assert [value.name for value in model.graph.outputs] == ["output"]
    assert str(model.graph.inputs[0].shape) == str(model.graph.outputs[0].shape) == "[h,4]"
    assert model.graph.inputs[0].dtype == ir.DataType.UINT8
    assert model.graph.outputs[0].dtype == ir.DataType.FLOAT


@pytest.mark.parametrize(
    ("spec", "have"),
    [
        ("layout{source=HWC,target=NCHW}", {"shape": (4, 4, 3), "layout": "HWC"}),
        ("to-gray", {"shape": (1, 3, 4, 4), "layout": "NCHW"}),
        ("resize{height=2,width=2}", {"shape": (1, 3, 4, 4), "layout": "NCHW"}),
        ("rescale{low=0,high=255,to-low=-1,to-high=1}", {"shape": (4,)}),
    ],
)
def test_built_twice_gives_the_same_bytes(port, spec, have):
    mine = port(*have["shape"], layout=have.get("layout"), kind="image/rgb")
    first, second = (
        ir.to_proto(parse_adapter(spec).build(mine)).SerializeToString() for _ in range(2)
    )
    assert first == second


def test_lettered_axes(port):
    image = port("N", 3, 8, "w", layout="NCHW")
    assert [axis_size(image, axis) for axis in "NCHWT"] == ["N", 3, 8, "w", None]
    assert axis_size(port(8, 8), "H") is None
    assert with_axes(image, C=1, W=9, T=5).shape == ("N", 1, 8, 9)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "bool"])
def test_element_types_go_there_and_back(dtype):
    assert element_type(dtype).numpy().name == dtype


def test_constants_have_the_type_asked_for():
    node = constant("c", [1, 2], ir.DataType.FLOAT16)
    tensor = node.attributes["value"].as_tensor()
    assert tensor.dtype == ir.DataType.FLOAT16
    np.testing.assert_array_equal(tensor.numpy(), [1, 2])

from dataclasses import FrozenInstanceError

import pytest

from suture.compiler.component import Dependency, Metric, Port, Resources
from suture.errors import RequestError

IMAGE = Port(
    name="image", kind="image/gray", dtype="float32", shape=("N", 1, "h", 32), layout="NCHW"
)


def test_data_takes_the_place_of_symbols():
    assert IMAGE.bound((2, 1, 7, 32)).shape == (2, 1, 7, 32)
    assert IMAGE.shape == ("N", 1, "h", 32)


@pytest.mark.parametrize("shape", [(2, 3, 7, 32), (2, 1, 7, 31), (1, 7, 32), ()])
def test_data_that_does_not_fit_is_refused(shape):
    with pytest.raises(RequestError, match="does not fit image:image/gray") as caught:
        IMAGE.bound(shape)
    assert str(list(shape)) in caught.value.message
    assert caught.value.at.component == "image"


def test_a_scalar_port_takes_a_scalar():
    assert Port(name="s", kind="tensor", dtype="int64", shape=()).bound(()).shape == ()


def test_text_of_a_port():
    assert str(IMAGE) == "image:image/gray float32[N,1,h,32] NCHW"
    assert str(Port(name="t", kind="tensor", dtype="int8", shape=())) == "t:tensor int8[]"


def test_text_of_a_dependency():
    assert str(Dependency("denoise", ">=1.0,<2")) == "denoise>=1.0,<2"
    assert str(Dependency("denoise")) == "denoise"


def test_a_component_is_named_with_its_version(component):
    assert component("net", "2.1").ref == "net@2.1"


def test_metrics_sort_by_data_set_name_and_value():
    low, high = Metric("a", "accuracy", 0.5), Metric("a", "accuracy", 0.9)
    other = Metric("b", "accuracy", 0.1)
    assert sorted([other, high, low]) == [low, high, other]


def test_values_are_frozen():
    with pytest.raises(FrozenInstanceError):
        IMAGE.shape = (1,)
    with pytest.raises(FrozenInstanceError):
        Resources(params=1, flops=1, peak_bytes=1).params = 2

import pytest


@pytest.fixture
def spec():
    def spec(name, datatype, shape, kind="tensor"):
        return {
            "name": name,
            "datatype": datatype,
            "shape": shape,
            "example": [max(size, 1) for size in shape],
            "kind": kind,
        }

    return spec


@pytest.fixture
def model(spec):
    """model.json of a model that is never run here."""
    return {
        "format": 1,
        "name": "net",
        "version": "7",
        "backend": "tvm",
        "threads": 1,
        "inputs": [spec("x", "FP32", [2, 3]), spec("n", "INT64", [-1])],
        "outputs": [spec("y", "FP32", [2, 3]), spec("flag", "BOOL", [2])],
        "plan": {"name": "one > two", "digest": "d" * 64},
        "image": None,
    }

import numpy as np
import pytest

from suture.compiler.adapters import parse_adapter
from suture.compiler.component import Port
from suture.compiler.verify import run_reference


@pytest.fixture(scope="session")
def port():
    def port(*shape, layout=None, kind="image/gray", dtype="float32", span=None):
        return Port(name="p", kind=kind, dtype=dtype, shape=shape, layout=layout, range=span)

    return port


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture(scope="session")
def apply():
    """What an adapter's graph computes, after a look at what it promises.

    The adapter is taken from its text, and the array has the shape and type that the adapter
    says leave.
    """

    def apply(adapter, port, x):
        assert parse_adapter(str(adapter)) == adapter
        y = run_reference(adapter.build(port), {"input": x})["output"]
        promised = adapter.output(port)
        assert promised.bound(y.shape).dtype == y.dtype.name
        return y

    return apply

import numpy as np
import onnx_ir as ir
import pytest

from suture.compiler.discovery import discover, load
from suture.compiler.verify import assert_equivalent
from suture.errors import VerifyError
from suture.passes.fuse import casts
from suture.passes.fuse.casts import ComposeCasts, holds
from suture.passes.manager import PassManager
from suture.passes.pipeline import parse_pipeline

TYPES = {
    "float": 1,
    "uint8": 2,
    "int8": 3,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "double": 11,
}
LOSSLESS = [*casts.WHOLE, *(kind for kind in casts.DIGITS if kind != ir.DataType.BFLOAT16)]


def written(start, *steps, result="y"):
    nodes, value = "", "x"
    for number, kind in enumerate(steps):
        name = f"v{number}"
        nodes += f"[n{number}] {name} = Cast<to={TYPES[kind]}>({value}) "
        value = name
    return f"g ({start}[2,3] x) => ({steps[-1]}[2,3] y) {{ {nodes} y = Identity({value}) }}"


@pytest.mark.parametrize(
    ("kinds", "ops"),
    [
        (("float", "double", "float"), ["Identity"]),
        (("uint8", "float", "float16"), ["Cast", "Identity"]),
        (("int8", "int32", "float"), ["Cast", "Identity"]),
        (("uint8", "float", "uint8"), ["Identity"]),
        (("float16", "float", "double", "float16"), ["Identity"]),
        (("bool", "int32", "float"), ["Cast", "Identity"]),
        (("int32", "int64", "bool"), ["Cast", "Identity"]),
    ],
)
def test_composes_where_nothing_is_lost(parse, check, kinds, ops):
    model = parse(written(*kinds))
    assert check(ComposeCasts(), model).ops == ops


@pytest.mark.parametrize(
    ("kinds", "reason"),
    [
        (("float", "uint8", "float"), "UINT8 does not hold each FLOAT"),
        (("double", "float", "double"), "FLOAT does not hold each DOUBLE"),
        (("int32", "float", "int32"), "FLOAT does not hold each INT32"),
        (("int8", "float", "uint8"), "FLOAT to UINT8 may differ from INT8 to UINT8"),
    ],
)
def test_declines_what_loses_something(parse, kinds, reason):
    """Not run: numbers beyond a type's range are anything in ONNX."""
    (record,) = PassManager([ComposeCasts()]).run(parse(written(*kinds)))
    assert [(each.at.node, each.reason) for each in record.declined] == [("n1", reason)]
    assert record.made == ()


def test_declines_what_others_read(parse, check):
    nodes = "[a] t = Cast<to=11>(x) [b] u = Cast<to=1>(t) y = Exp(u) z = Exp(t)"
    model = parse(f"g (float[2] x) => (float[2] y, double[2] z) {{ {nodes} }}")
    assert check(ComposeCasts(), model).declined == [
        ("b", "what lies between has other readers")
    ]


@pytest.mark.parametrize("narrow", LOSSLESS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("wide", LOSSLESS, ids=lambda kind: kind.name)
def test_a_type_that_holds_another_gives_back_its_extremes(wide, narrow):
    if narrow == ir.DataType.BOOL:
        ends = np.array([False, True])
    elif narrow in casts.DIGITS:
        info = np.finfo(narrow.numpy())
        ends = np.array([info.min, info.max, info.tiny, 1 + info.eps], narrow.numpy())
    else:
        info = np.iinfo(narrow.numpy())
        ends = np.array([info.min, info.max, info.max - 1], narrow.numpy())
    with np.errstate(all="ignore"):
        wider = ends.astype(wide.numpy())
        exact = bool(np.isfinite(wider).all())
        exact = exact and [int(x) for x in ends] == [int(x) for x in wider]
        back = bool((wider.astype(narrow.numpy()) == ends).all())
    assert holds(wide, narrow) == (back if narrow in casts.DIGITS else exact)


def test_an_output_keeps_its_type_and_name(parse, check):
    text = "g (float[2] x) => (float[2] y) { t = Cast<to=11>(x) y = Cast<to=1>(t) }"
    assert check(ComposeCasts(), parse(text)).ops == ["Cast"]


def test_the_check_fails_a_cast_that_rounds(parse, monkeypatch):
    monkeypatch.setattr(casts, "holds", lambda wide, narrow: True)
    model = parse(written("float", "float16", "float"))
    reference, x = model.clone(), np.float32([[1 / 3, 2 / 3, 1 / 7], [0.1, 0.2, 0.3]])
    PassManager([ComposeCasts()]).run(model)
    with pytest.raises(VerifyError, match="of the output's magnitude"):
        assert_equivalent(reference, model, {"x": x}, rtol=1e-5)


def test_is_found_by_its_entry_point():
    assert load(discover("suture.passes")["compose-casts"]) is ComposeCasts
    assert parse_pipeline("compose-casts") == (ComposeCasts(),)

import pytest

from suture.codegen.emit.rule import Rules
from suture.codegen.groups import group
from suture.codegen.prepare import prepare

WEIGHTS = ("s", "b", "m", "v", "k", "w", "w3")
TEXT = """g (float[1,8,6,6] x, float[8] s, float[8] b, float[8] m, float[8] v, float[8,1,1] k,
    float[16,8,1,1] w, float[16,8,3,3] w3) => (float[1,{c},{n},{n}] y{more})
    {{ n = BatchNormalization(x, s, b, m, v) {behind} }}"""


@pytest.fixture
def kinds(parse, with_weights):
    """The operators of a model with a normalisation in front, once grouped."""

    def kinds(behind, *, channels=16, size=6, more=""):
        text = TEXT.format(behind=behind, c=channels, n=size, more=more)
        model = prepare(with_weights(parse(text), WEIGHTS))
        told = group(model, Rules.installed().matchers)
        return told, [node.op_type for node in model.graph]

    return kinds


def test_what_follows_is_taken_in(kinds):
    told, nodes = kinds("p = Mul(n, k) a = Add(k, p) r = Relu(a) y = Sigmoid(r)", channels=8)
    assert told == ("BatchNormalization Mul Add Relu",)
    assert nodes == ["SutureAffine", "Sigmoid"]


def test_a_pointwise_convolution_takes_it_in(kinds):
    told, nodes = kinds("r = Relu(n) y = Conv(r, w)")
    assert told[-1] == "SutureAffine Conv"
    assert nodes == ["SutureConv"]


@pytest.mark.parametrize(
    ("behind", "options"),
    [
        ("r = Relu(n) y = Conv(r, w3)", {"size": 4}),
        ("r = Relu(n) y = Conv<strides=[2,2]>(r, w)", {"size": 3}),
        ("r = Relu(n) y = Conv(r, w)", {"more": ", float[1,8,6,6] r"}),
    ],
    ids=["taps", "strides", "read elsewhere"],
)
def test_other_convolutions_leave_it(kinds, behind, options):
    _, nodes = kinds(behind, **options)
    assert nodes == ["SutureAffine", "SutureConv"]

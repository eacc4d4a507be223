import pytest

FORMS = {
    "gelu, PyTorch": (
        "d = Div(v, root) e = Erf(d) a = Add(e, one) m = Mul(v, a) y = Mul(m, half)"
    ),
    "gelu, halves first": (
        "h = Mul(half, v) d = Mul(v, rroot) e = Erf(d) a = Add(one, e) y = Mul(a, h)"
    ),
    "gelu, the sum halved": (
        "d = Div(v, root) e = Erf(d) a = Add(e, one) h = Mul(a, half) y = Mul(v, h)"
    ),
    "gelu-tanh": (
        "c = Pow(v, three) s = Mul(c, cubic) i = Add(v, s) k = Mul(i, slope) t = Tanh(k) "
        "o = Add(t, one) m = Mul(v, half) y = Mul(m, o)"
    ),
    "swish": "s = Sigmoid(v) y = Mul(v, s)",
    "swish, quick": "q = Mul(v, quick) s = Sigmoid(q) y = Mul(v, s)",
    "hard-swish": "y = HardSwish(v)",
    "hard-swish, by parts": "s = HardSigmoid<alpha=0.16666667,beta=0.5>(v) y = Mul(s, v)",
    "hard-swish, exported": (
        "a = Add(v, three) c = Clip(a, zero, six) d = Div(c, six) y = Mul(v, d)"
    ),
    "hard-sigmoid": "y = HardSigmoid<alpha=0.3, beta=0.4>(v)",
    "mish": "s = Softplus(v) t = Tanh(s) y = Mul(v, t)",
    "leaky-relu": "y = LeakyRelu<alpha=0.2>(v)",
    "sigmoid": "y = Sigmoid(v)",
    "tanh": "y = Tanh(v)",
    "erf": "y = Erf(v)",
    "relu": "y = Relu(v)",
}
SCALARS = {
    "root": 2**0.5,
    "rroot": 0.5**0.5,
    "one": 1.0,
    "half": 0.5,
    "three": 3.0,
    "six": 6.0,
    "zero": 0.0,
    "cubic": 0.044715,
    "slope": 0.7978845608,
    "quick": 1.702,
    "near": 0.05,
}


@pytest.fixture
def product(grouped):
    def product(body, outputs="float[3,5] y"):
        used = [
            name for name in SCALARS if f"{name}" in body.replace(",", " ").replace(")", " ")
        ]
        initializers = ", ".join(f"float {name} = {{{SCALARS[name]}}}" for name in used)
        text = (
            f"g (float[3,4] x, float[4,5] w) => ({outputs}) <{initializers}> "
            f"{{ v = MatMul(x, w) {body} }}"
        )
        return grouped(text, "w")

    return product


@pytest.mark.parametrize("form", FORMS)
def test_what_is_taken_in(form, product):
    told, model = product(FORMS[form])
    assert len(told) == 1
    (node,) = model.graph
    assert node.attributes.get_string("activation") == form.split(",")[0]


def test_parameters_are_kept(product):
    _, model = product(FORMS["swish, quick"])
    assert model.graph.node(0).attributes.get_float("low") == pytest.approx(1.702)
    _, model = product(FORMS["hard-sigmoid"])
    attributes = model.graph.node(0).attributes
    assert attributes.get_float("low") == pytest.approx(0.3)
    assert attributes.get_float("high") == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("body", "outputs"),
    [
        # Another cubic coefficient is another function.
        (FORMS["gelu-tanh"].replace("cubic", "near"), "float[3,5] y"),
        # Nor is x · sigmoid(2x) one of those known.
        ("q = Mul(v, six) s = Sigmoid(q) y = Mul(v, s)", "float[3,5] y"),
        # What is in between is an answer too.
        (FORMS["gelu, PyTorch"], "float[3,5] y, float[3,5] e"),
        (FORMS["swish"], "float[3,5] y, float[3,5] v"),
    ],
)
def test_what_is_declined(body, outputs, product):
    told, model = product(body, outputs)
    assert told == ("MatMul",)
    assert len(model.graph) > 1


def test_a_tensor_is_added_after_the_activation(grouped):
    told, model = grouped(
        "g (float[3,4] x, float[4,5] w, float[3,5] r) => (float[3,5] y) "
        "{ v = MatMul(x, w) s = Sigmoid(v) m = Mul(v, s) y = Add(m, r) }",
        "w",
    )
    assert told == ("MatMul Sigmoid Mul Add",)
    (node,) = model.graph
    assert node.inputs[3] is not None
    assert node.attributes.get_int("residual_last") == 1

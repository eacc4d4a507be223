import numpy as np
import pytest

from suture.compiler.adapters.softmax import Softmax


@pytest.mark.parametrize("shape", [(2, 10), (10,), (2, 3, 4)])
def test_computes_over_the_last_axis(apply, port, rng, shape):
    x = rng.standard_normal(shape).astype(np.float32) * 10
    y = apply(Softmax(), port(*shape, kind="logits/digit"), x)
    exponents = np.exp(x - x.max(-1, keepdims=True), dtype=np.float64)
    np.testing.assert_allclose(y, exponents / exponents.sum(-1, keepdims=True), rtol=1e-5)


def test_large_scores_do_not_overflow(apply, port):
    y = apply(Softmax(), port(1, 2, kind="logits/x"), np.array([[1e4, 1e4]], np.float32))
    np.testing.assert_allclose(y, [[0.5, 0.5]], rtol=1e-5)


def test_what_leaves_are_probabilities(port):
    leaves = Softmax().output(port("N", 10, kind="logits/digit"))
    assert (leaves.kind, leaves.shape, leaves.range) == ("class/digit", ("N", 10), (0.0, 1.0))


@pytest.mark.parametrize(
    ("have", "want", "applies"),
    [
        ("logits/digit", "class/digit", True),
        ("logits", "class", True),
        ("logits/digit", "class/letter", False),
        ("logits/digit", "logits/digit", False),
        ("class/digit", "logits/digit", False),
        ("class/digit", "class/digit", False),
    ],
)
def test_applies_to_scores_over_the_same_classes(port, have, want, applies):
    made = Softmax.propose(port("N", 10, kind=have), port("N", 10, kind=want))
    assert made == (Softmax() if applies else None)

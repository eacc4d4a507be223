import numpy as np
import pytest

from suture.compiler.profile.analyze import analyze
from suture.errors import RequestError


def test_lengths_of_text():
    profile = analyze(np.array("two  wörds\n"), "text/english")
    assert (profile.shape, profile.dtype, profile.bucket) == ((), "str", "plain")
    assert profile.features == pytest.approx(
        {"characters": 11, "bytes": 12, "words": 2, "non_ascii_fraction": 1 / 11}
    )


def test_no_text():
    features = analyze(np.array(""), "text").features
    assert set(features.values()) == {0}


@pytest.mark.parametrize("data", [np.array(["a", "b"]), np.array(b"bytes"), np.zeros(2)])
def test_what_is_no_string_is_refused(data):
    with pytest.raises(RequestError, match="text is one string"):
        analyze(data, "text")

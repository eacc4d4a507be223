import numpy as np
import pytest

from suture.compiler.profile.analyze import GROUP, analyze, find_analyzer
from suture.compiler.profile.base import RequestProfile
from suture.compiler.profile.image import ImageAnalyzer
from suture.compiler.profile.tensor import TensorAnalyzer
from suture.compiler.profile.text import TextAnalyzer
from suture.errors import PluginError, RequestError

AUDIO = """
from suture.compiler.profile.base import RequestProfile

class Audio:
    def accepts(self, kind):
        return kind == "audio/mono"

    def analyze(self, data, kind):
        return RequestProfile(kind=kind, shape=data.shape, dtype="x", steps=("resample",))
"""


@pytest.mark.parametrize(
    ("kind", "analyzer"),
    [
        ("image/gray", ImageAnalyzer),
        ("image/rgb", ImageAnalyzer),
        ("tensor", TensorAnalyzer),
        ("tensor/embedding", TensorAnalyzer),
        ("text", TextAnalyzer),
        ("text/english", TextAnalyzer),
    ],
)
def test_each_kind_finds_its_analyzer(kind, analyzer):
    assert isinstance(find_analyzer(kind), analyzer)


@pytest.mark.parametrize("kind", ["audio/mono", "images/gray", "class/digit", ""])
def test_a_kind_without_analyzer(kind):
    with pytest.raises(RequestError, match="no analyser accepts") as caught:
        find_analyzer(kind)
    assert caught.value.at.component == "task.input.kind"
    assert "image, tensor, text" in caught.value.hint


def test_an_installed_analyzer_is_found(install):
    install("suture_audio", GROUP, {"audio": "suture_audio:Audio"}, AUDIO)
    assert analyze(np.zeros(3), "audio/mono").bucket == "resample"
    assert isinstance(find_analyzer("image/gray"), ImageAnalyzer)


def test_an_analyzer_that_does_not_load_is_named(install):
    install("suture_broken", GROUP, {"aaa": "suture_broken:Gone"})
    with pytest.raises(PluginError, match="'aaa'"):
        find_analyzer("image/gray")


def test_the_bucket_is_the_steps_in_order():
    profile = RequestProfile(kind="k", shape=(), dtype="x", steps=("denoise", "deskew"))
    assert profile.bucket == "denoise+deskew"
    assert RequestProfile(kind="k", shape=(), dtype="x").bucket == "plain"

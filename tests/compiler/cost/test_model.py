import hashlib
from dataclasses import replace

import numpy as np
import pytest

from suture.compiler.cost.boosting import Boosting
from suture.compiler.cost.model import KernelModel
from suture.errors import SutureError


@pytest.fixture(scope="module")
def fitted(samples):
    model = KernelModel(boosting=Boosting(rounds=80), about="a law")
    return model.fit([s.facts for s in samples], [s.microseconds for s in samples])


def test_times_are_predicted_also_of_larger_kernels(fitted, make_facts, samples):
    expected = fitted.predict([s.facts for s in samples])
    truth = np.array([s.microseconds for s in samples])
    assert np.abs(expected / truth - 1).mean() < 0.03
    (time, double) = fitted.predict(
        [make_facts(rows=4, wide=2, needed=2.0**n) for n in (30, 31)]
    )
    assert double == pytest.approx(2 * time, rel=0.05)


def test_what_it_knows(fitted, make_facts):
    assert fitted.knows(make_facts(rows=1, wide=1))
    assert not fitted.knows(make_facts(rows=1, wide=1, rule="winograd"))
    assert not fitted.knows(make_facts(rows=1, wide=1, lanes=16))
    assert not KernelModel().knows(make_facts(rows=1, wide=1))


def test_saved_and_loaded_it_is_the_same(fitted, samples, tmp_path):
    kernels = [s.facts for s in samples]
    first, second = tmp_path / "a" / "m.npz", tmp_path / "n.npz"
    fitted.save(first)
    fitted.save(second)
    digests = {hashlib.sha256(each.read_bytes()).digest() for each in (first, second)}
    assert len(digests) == 1
    loaded = KernelModel.load(first)
    np.testing.assert_array_equal(loaded.predict(kernels), fitted.predict(kernels))
    assert (loaded.rules, loaded.lanes, loaded.about) == (("gemm",), (8,), "a law")
    assert list(first.parent.iterdir()) == [first]


def test_what_is_no_model_is_refused(fitted, tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    with pytest.raises(SutureError, match="not a cost model"):
        KernelModel.load(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(SutureError, match="not a cost model"):
        KernelModel.load(path)
    np.savez(path, other=np.zeros(3))
    with pytest.raises(SutureError, match="not a cost model"):
        KernelModel.load(path)
    np.savez(path, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SutureError, match="not a cost model"):
        KernelModel.load(path)
    monkeypatch.setattr("suture.compiler.cost.model.NAMES", ("other",))
    fitted.save(path)
    monkeypatch.undo()
    with pytest.raises(SutureError, match="other features") as caught:
        KernelModel.load(path)
    assert caught.value.at.component == str(path)


def test_nothing_cannot_be_learned_from_nor_saved(tmp_path):
    with pytest.raises(ValueError, match="nothing to learn"):
        KernelModel().fit([], np.zeros(0))
    with pytest.raises(ValueError, match="learned nothing"):
        KernelModel().save(tmp_path / "m.npz")


def test_a_rule_of_its_own_is_told_apart(samples):
    """Equal facts, another rule: twice the time."""
    kernels = [s.facts for s in samples]
    others = [replace(each, rule="other") for each in kernels]
    times = np.array([s.microseconds for s in samples])
    model = KernelModel(boosting=Boosting(rounds=80)).fit(
        kernels + others, np.concatenate([times, 2 * times])
    )
    ratio = model.predict(others) / model.predict(kernels)
    assert np.median(ratio) == pytest.approx(2, rel=0.05)

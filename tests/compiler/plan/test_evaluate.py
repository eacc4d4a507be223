from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suture.compiler.component import Metric
from suture.compiler.plan.evaluate import (
    PRIOR,
    Accuracy,
    composed,
    evaluate,
    hits,
    read_evaluation,
)
from suture.errors import ManifestError, PlanError

SCANS = np.random.default_rng(0).integers(0, 256, (6, 8, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def example(digits):
    return read_evaluation(digits.task.evaluation, "image/gray")


def test_the_example_is_read(example):
    assert example.inputs.shape == (840, 32, 32)
    assert example.labels.dtype == np.int64
    assert len(set(example.conditions)) == 7
    assert {"plain", "denoise", "deskew"} <= set(example.buckets)


def test_accuracy_is_the_fraction_of_right_classes(digits, example):
    part = replace(
        example,
        inputs=example.inputs[::12],
        labels=example.labels[::12],
        conditions=example.conditions[::12],
        buckets=example.buckets[::12],
    )
    plans = [digits.plans["digit-linear"], digits.plans["digit-contrast > digit-linear"]]
    found = evaluate(plans, digits.components, digits.entry, part, threads=1)
    assert list(found) == [plan.digest for plan in plans]
    plain, stretched = found.values()
    assert plain.overall < stretched.overall < 1
    dim = "low_contrast"
    assert plain.by_condition[dim][0] + 0.4 < stretched.by_condition[dim][0]
    for accuracy in found.values():
        for split, names in (
            (accuracy.by_bucket, part.buckets),
            (accuracy.by_condition, part.conditions),
        ):
            assert {name: n for name, (_, n) in split.items()} == {
                str(name): int((names == name).sum()) for name in set(names)
            }
            mean = sum(fraction * n for fraction, n in split.values()) / 70
            assert mean == pytest.approx(accuracy.overall, rel=1e-12)


def test_filters_rescue_what_the_bucket_calls_for(digits, example):
    """The measured accuracy of a bucket is that of its samples alone."""
    chosen = np.flatnonzero(example.buckets == "denoise")[:40]
    part = replace(
        example,
        inputs=example.inputs[chosen],
        labels=example.labels[chosen],
        conditions=example.conditions[chosen],
        buckets=example.buckets[chosen],
    )
    plan = digits.plans["digit-denoise > digit-cnn-large"]
    (accuracy,) = evaluate([plan], digits.components, digits.entry, part, threads=1).values()
    assert accuracy.by_bucket == {"denoise": (accuracy.overall, 40)}
    assert accuracy.overall > 0.9


def test_hits_compare_the_greatest_entry(digits):
    plan = digits.plans["digit-linear"]
    outputs = [np.array([[0.1, 0.9, 0]]), np.array([[[3.0], [1.0]]]), np.array([0.0, 1.0])]
    assert hits(plan, outputs, np.array([1, 0, 0])).tolist() == [True, True, False]


def test_one_number_has_no_class(digits):
    plan = digits.plans["digit-linear"]
    with pytest.raises(PlanError, match="fewer than two entries") as caught:
        hits(plan, [np.array([[0.5]])], np.array([0]))
    assert caught.value.at.component == "digit-linear"
    assert "drop evaluation from task.toml" in caught.value.hint


def test_expectation_is_shrunk_towards_the_whole():
    accuracy = Accuracy(0.5, {"noisy": (1.0, 1), "plain": (0.9, 99)}, {})
    assert accuracy.expect("noisy") == accuracy.expect("noisy", PRIOR)
    assert accuracy.expect("noisy") == pytest.approx((1 + 0.5 * PRIOR) / (1 + PRIOR))
    assert accuracy.expect("plain", prior=1.0) == pytest.approx((0.9 * 99 + 0.5) / 100)
    assert accuracy.expect("noisy", prior=3.0) == pytest.approx((1 + 1.5) / 4)
    assert accuracy.expect("never seen") == accuracy.expect(None) == 0.5


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 1000),
    st.floats(min_value=0.1, max_value=50),
)
def test_expectation_lies_between_bucket_and_whole(overall, fraction, count, prior):
    value = Accuracy(overall, {"b": (fraction, count)}, {}).expect("b", prior)
    low, high = sorted((overall, fraction))
    assert low - 1e-9 <= value <= high + 1e-9


def test_composed_multiplies_the_best_stated_metrics(digits):
    components = dict(digits.components)
    for ref, values in (("digit-denoise@1.0.0", (0.8,)), ("digit-linear@1.0.0", (0.5, 0.9))):
        metrics = tuple(Metric(f"set{i}", "accuracy", v) for i, v in enumerate(values))
        components[ref] = replace(components[ref], metrics=metrics)
    found = composed(digits.plans["digit-denoise > digit-linear"], components)
    assert found.overall == pytest.approx(0.72)
    assert (found.measured, found.expect("denoise")) == (False, found.overall)


def test_conditions_may_be_left_out(tmp_path):
    np.savez(tmp_path / "e.npz", inputs=SCANS, labels=np.arange(6, dtype=np.uint8))
    found = read_evaluation(tmp_path / "e.npz", "image/gray")
    assert found.conditions.tolist() == [""] * 6
    assert found.labels.dtype == np.int64


def test_the_digest_is_of_the_content(tmp_path):
    for name, labels in (("a", range(6)), ("b", range(6)), ("c", range(1, 7))):
        np.savez(tmp_path / f"{name}.npz", inputs=SCANS, labels=np.array(labels))
    one, two, other = (
        read_evaluation(tmp_path / f"{name}.npz", "image/gray").digest for name in "abc"
    )
    assert one == two != other


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"inputs": SCANS}, "labels"),
        ({"labels": np.arange(6)}, "inputs"),
        ({"inputs": SCANS, "labels": np.arange(5)}, "6 inputs, 5 labels and 5 conditions"),
        (
            {"inputs": SCANS, "labels": np.arange(6), "conditions": np.array(["dim"])},
            "6 inputs, 6 labels and 1 conditions",
        ),
        ({"inputs": SCANS[:0], "labels": np.arange(0)}, "0 inputs"),
        ({"inputs": SCANS.astype(object), "labels": np.arange(6)}, "Object arrays"),
    ],
)
def test_arrays_that_do_not_make_a_set(tmp_path, arrays, message):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    with pytest.raises(ManifestError, match=message) as caught:
        read_evaluation(path, "image/gray")
    assert caught.value.at.component == str(path)


@pytest.mark.parametrize(
    "labels",
    [np.array(list("abcdef")), np.eye(6, dtype=int), np.linspace(0, 1, 6), np.array(3)],
)
def test_labels_that_are_no_classes(tmp_path, labels):
    np.savez(tmp_path / "e.npz", inputs=SCANS, labels=labels)
    with pytest.raises(ManifestError, match="labels"):
        read_evaluation(tmp_path / "e.npz", "image/gray")


def test_an_array_instead_of_a_set(tmp_path):
    np.save(tmp_path / "e.npy", SCANS)
    with pytest.raises(ManifestError, match="not an evaluation set"):
        read_evaluation(tmp_path / "e.npy", "image/gray")


def test_a_truncated_npz(tmp_path, digits):
    path = tmp_path / "cut.npz"
    path.write_bytes(digits.task.evaluation.read_bytes()[:-1000])
    with pytest.raises(ManifestError, match="not an evaluation set"):
        read_evaluation(path, "image/gray")


def test_damaged_bytes_are_never_a_traceback(tmp_path):
    path = tmp_path / "spoilt.npz"
    np.savez_compressed(path, inputs=SCANS, labels=np.arange(6))
    content, rng = path.read_bytes(), np.random.default_rng(3)
    refused = 0
    for _ in range(300):
        spoilt = bytearray(content)
        spoilt[rng.integers(len(spoilt))] ^= int(rng.integers(1, 256))
        path.write_bytes(spoilt)
        try:
            read_evaluation(path, "image/gray")
        except ManifestError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ManifestError, match="not an evaluation set") as caught:
        read_evaluation(path, "image/gray")
    assert "arrays inputs, labels" in caught.value.hint


def test_a_missing_file(tmp_path):
    with pytest.raises(ManifestError, match="no such file") as caught:
        read_evaluation(tmp_path / "gone.npz", "image/gray")
    assert caught.value.at.component.endswith("gone.npz")

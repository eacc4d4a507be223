from dataclasses import astuple, replace

import numpy as np

from suture.compiler.cost.features import NAMES, features, matrix


def test_one_column_a_feature_and_a_rule(make_facts):
    rows = [make_facts(rows=4, wide=2), make_facts(rows=6, wide=2, rule="direct-conv")]
    table = matrix(rows, ("direct-conv", "gemm"))
    assert table.shape == (2, len(NAMES) + 2)
    assert len(NAMES) >= 30
    assert np.isfinite(table).all()
    np.testing.assert_array_equal(table[:, -2:], [[0, 1], [1, 0]])
    assert tuple(table[0, : len(NAMES)]) == astuple(features(rows[0]))
    assert matrix([], ("gemm",)).shape == (0, len(NAMES) + 1)


def test_what_features_mean(make_facts):
    full, tiny = features(make_facts(rows=6, wide=2)), features(make_facts(rows=1, wide=1))
    assert full.latency_hidden == 1 > tiny.latency_hidden == 1 / 8
    assert full.loads == (6 + 2) / 12
    assert full.registers_used == (12 + 2 + 1) / 16
    assert full.spilled == 0 < features(make_facts(rows=8, wide=2)).spilled
    assert features(make_facts(rows=8, wide=2)).reached <= 0.5
    assert full.cycles < tiny.cycles
    wasteful = replace(make_facts(rows=6, wide=2), needed=1e5)
    assert features(wasteful).waste > full.waste >= 0
    assert full.copied_share == 0

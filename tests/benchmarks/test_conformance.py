"""A fixed part of ONNX's test suite, against the committed table of the whole."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "conformance"
TABLE = ROOT / "docs" / "conformance.csv"
MODULES = (
    *("attention", "bitshift", "celu", "dropout", "dynamicquantizelinear", "gemm", "if_"),
    *("isinf", "mod", "reshape", "roialign", "softmax", "spacetodepth", "trilu"),
)
CASES = (
    "test_attention_3d",
    "test_attention_4d_with_past_and_present_qk_matmul_bias_3d_mask_causal",
    "test_attention_causal_boolmask_nan_robustness_expanded",
    "test_bitshift_left_int8_shift_ge_width",
    "test_bitshift_right_int32_negative_shift",
    "test_celu",
    "test_celu_float16",
    "test_dropout_default_mask",
    "test_dynamicquantizelinear",
    "test_gemm_all_attributes",
    "test_if",
    "test_if_seq",
    "test_isinf_negative",
    "test_mod_float_edge_cases_fmod_0_float32",
    "test_mod_int64_fmod",
    "test_reshape_reordered_all_dims",
    "test_roialign_mode_max",
    "test_softmax_axis_1",
    "test_softmax_large_number_expanded",
    "test_spacetodepth_crd_mode_example",
    "test_training_dropout",
    "test_tril_zero",
    "test_triu",
    "test_single_relu_model",
    "test_sequence_model3",
    "test_shrink",
)
COLUMNS = ("tvm", "ort", "auto", "tvm+exact", "ort+exact", "auto+exact")


@pytest.fixture
def suite(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import suite

    return suite


@pytest.fixture
def table(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    import table

    return table


def test_the_committed_table_says_nothing_is_wrong(table):
    known = table.read_rows(TABLE)
    assert len(known) > 2000
    plain = {name for name, row in known.items() if row["onnxruntime"] == "passed"}
    for column in COLUMNS:
        assert [name for name, row in known.items() if row[column] == "wrong"] == []
    for column in ("auto", "auto+exact"):
        kept = [name for name in plain if known[name][column] == "passed"]
        assert len(kept) >= 0.95 * len(plain)


def test_no_case_fares_worse_than_in_the_committed_table(suite, table, cache):
    running = suite.Suite(cache / "zig", MODULES, ("simple",))
    try:
        operators = running.cases()
        assert set(CASES) <= set(operators)
        (found,) = running.run(CASES)
    finally:
        running.close()
    known = table.read_rows(TABLE)
    rows = table.rows_of(found, operators)
    told = {name: table.worse(known[name], row) for name, row in rows.items()}
    assert {name: (modes, found[name]) for name, modes in told.items() if modes} == {}
    assert {row["tvm"] for row in rows.values()} == {"passed", "rejected"}


def test_a_case_that_kills_its_worker_is_wrong(suite, tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import json, os, sys\n"
        "def say(**message):\n"
        "    print(json.dumps(message), flush=True)\n"
        "say(ready=dict.fromkeys('abc', 'node'))\n"
        "for line in sys.stdin:\n"
        "    names = json.loads(line)\n"
        "    for name in names:\n"
        "        say(at=name)\n"
        "        if name == 'b':\n"
        "            os.abort()\n"
        "    say(outcomes={name: {'tvm': ['passed', '']} for name in names})\n"
    )
    monkeypatch.setattr(suite, "WORKER", worker)
    running = suite.Suite(tmp_path, (), ())
    try:
        (found,) = running.run("abc")
    finally:
        running.close()
    assert found["a"]["tvm"] == found["c"]["tvm"] == ["passed", ""]
    assert found["b"]["tvm"] == ("wrong", "crash: SIGABRT")


def test_a_step_that_hangs_is_wrong(suite, tmp_path, monkeypatch):
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys, time\n"
        'print(\'{"ready": {"a": "node"}}\', flush=True)\n'
        "sys.stdin.readline()\n"
        'print(\'{"at": "a"}\', flush=True)\n'
        "time.sleep(60)\n"
    )
    monkeypatch.setattr(suite, "WORKER", worker)
    monkeypatch.setattr(suite, "STEP_SECONDS", 2.0)
    running = suite.Suite(tmp_path, (), ())
    try:
        (found,) = running.run("a")
    finally:
        running.close()
    assert found["a"]["auto"] == ("wrong", "crash: takes longer than 2 s")


def test_the_command_compares_a_part_with_the_table(cache):
    done = subprocess.run(
        [
            *(sys.executable, FOLDER, "--modules", "celu", "--kinds", ""),
            *("--only", "celu$", "--cache", cache),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "1 of 1; tvm {'passed': 1}\n"

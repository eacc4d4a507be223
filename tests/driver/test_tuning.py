from dataclasses import replace

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest

from suture.codegen.choose.model import cost_model
from suture.compiler.cost.records import Records
from suture.compiler.cost.rows import KernelRecord
from suture.compiler.target import lambda_arm64, lambda_x86_64
from suture.driver.measurements import samples
from suture.driver.tuning import FEWEST, evaluate_records, learn, tune
from suture.errors import SutureError


def model():
    """Two products of different shape, and one of the first's shape."""
    text = """<ir_version: 8, opset_import: ["": 17]>
        g (float[5,16] x) => (float[5,16] y) { a = MatMul(x, u) b = MatMul(a, v)
        c = MatMul(b, w) y = MatMul(c, v) }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, shape in (("u", (16, 32)), ("v", (32, 16)), ("w", (16, 32))):
        array = rng.standard_normal(shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return ir.from_proto(proto)


def made_up(kernels):
    """Records of which the tile with more sums is always the faster one."""
    from suture.codegen.choose.base import Question, spec_of
    from suture.codegen.schedule.base import WIDTHS, Epilogue
    from suture.codegen.schedule.gemm import Gemm, GemmShape

    found = []
    for size in range(kernels):
        shape = GemmShape(rows=12 + size, depth=64, columns=128)
        question = Question(
            schedules=Gemm.space(shape, WIDTHS["x86-64-v3"])[:8],
            shape=shape,
            epilogue=Epilogue(),
            processor=WIDTHS["x86-64-v3"],
        )
        for rank, schedule in enumerate(question.schedules):
            facts = question.facts(schedule)
            found.append(
                KernelRecord(
                    kernel=question.subject,
                    schedule=spec_of(schedule),
                    rank=rank,
                    mcpu="x86-64-v3",
                    facts=facts,
                    microseconds=facts.done / 1e4 / (facts.rows * facts.wide),
                )
            )
    return found


def test_tuning_measures_and_records(tmp_path):
    records, said = Records(tmp_path / "records.sqlite"), []
    learned = tmp_path / "model.npz"
    tuned = tune(
        [model()],
        lambda_x86_64(),
        trials=3,
        records=records,
        learned=learned,
        say=said.append,
    )
    assert tuned.kernels == 2  # the products by u and w, and those by v
    kept = records.kernels()
    assert tuned.records == len(kept) == 6
    assert all(each.microseconds > 0 for each in kept)
    assert {each.mcpu for each in kept} == {"x86-64-v3"}
    assert tuned.before.samples == 6
    assert tuned.after is None
    assert not learned.exists()
    assert "fewer than" in said[-1]


def test_enough_records_teach_a_model(tmp_path):
    records, learned = Records(tmp_path / "records.sqlite"), tmp_path / "model.npz"
    records.add_kernels(made_up(FEWEST - 1))
    assert learn(records, lambda_x86_64(), learned) is None
    records.add_kernels(made_up(FEWEST))
    after = learn(records, lambda_x86_64(), learned)
    assert after.kernels == FEWEST
    assert after.pairwise_accuracy > 0.9
    assert cost_model(learned).rules == ("gemm",)
    found = evaluate_records(records, lambda_x86_64(), folds=4)
    assert found.model.kernels == FEWEST
    assert found.model.top1_regret < found.formula.top1_regret


def test_other_measurements_of_a_schedule_count_as_one_sample():
    (first, *_) = made_up(1)
    again = [replace(first, microseconds=first.microseconds * factor) for factor in (1, 2, 9)]
    (sample,) = samples(again)
    assert sample.microseconds == 2 * first.microseconds


def test_records_of_other_processors_are_not_learned_from(tmp_path):
    records = Records(tmp_path / "records.sqlite")
    records.add_kernels(replace(each, mcpu="x86-64-v4") for each in made_up(3))
    with pytest.raises(SutureError, match=r"fewer than two kernels.*x86-64-v3"):
        evaluate_records(records, lambda_x86_64())


def test_rows_of_another_version_are_left_out(tmp_path):
    import sqlite3

    records = Records(tmp_path / "records.sqlite")
    records.add_kernels(made_up(1))
    with sqlite3.connect(records.path) as store:
        store.execute('UPDATE kernel SET facts = \'{"rule": "gemm"}\' WHERE id = 1')
    assert len(records.kernels()) == 7


def test_no_tuning_for_a_processor_that_is_not_here(tmp_path):
    with pytest.raises(SutureError, match="does not run code for neoverse-n1") as caught:
        tune(
            [model()],
            lambda_arm64(),
            trials=3,
            records=Records(tmp_path / "records.sqlite"),
            learned=tmp_path / "model.npz",
            say=lambda _: None,
        )
    assert caught.value.at.component == "lambda-arm64"
